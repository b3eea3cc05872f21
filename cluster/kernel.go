package cluster

// lanes is the number of rows worked on at once: a block is also stored feature by feature, so that the innermost
// loop of the distances runs over rows. vector is what rows are padded to.
const (
	lanes  = 64
	vector = 4
)

// padded is the number of elements that a row of d takes.
func padded(d int) int { return (d + vector - 1) / vector * vector }

// kernel holds the loops that EM spends its time in.
type kernel struct {
	// distances adds |P x_r + b|² to q[r] for every lane r. P is d×d, lower triangular, packed by rows; x is d×lanes.
	distances func(q, p, b, x []float64, d int)
	// pack writes the rows z_r = √w_r (x_index[r] − mean) and adds Σ w_r (x_index[r] − mean) to f. Rows of x and z
	// are stride apart and wide, root holds √w; index is not empty.
	pack func(z, f, x, mean []float64, index []int32, root []float64, stride int)
	// rank adds zᵀz to the lower triangle of c, stride×stride, in tiles: elements above the diagonal are undefined.
	// z has at least one row.
	rank func(c, z []float64, rows, stride int)
}

func portableKernel() kernel {
	return kernel{distances: distancesPortable, pack: packPortable, rank: rankPortable}
}

func distancesPortable(q, p, b, x []float64, d int) {
	var y [lanes]float64
	q = q[:lanes]
	for i := range d {
		for r := range y {
			y[r] = b[i]
		}
		for j, w := range p[:i+1] {
			xj := x[j*lanes : (j+1)*lanes : (j+1)*lanes]
			for r, v := range xj {
				y[r&(lanes-1)] += w * v
			}
		}
		p = p[i+1:]
		for r, v := range y {
			q[r] += v * v
		}
	}
}

func packPortable(z, f, x, mean []float64, index []int32, root []float64, stride int) {
	for r, i := range index {
		w := root[r]
		row, out := x[int(i)*stride:(int(i)+1)*stride], z[r*stride:(r+1)*stride]
		for j, v := range row {
			v = (v - mean[j]) * w
			out[j] = v
			f[j] += v * w
		}
	}
}

func rankPortable(c, z []float64, rows, stride int) {
	for r := range rows {
		row := z[r*stride : (r+1)*stride]
		for i, v := range row {
			t := c[i*stride : i*stride+i+1]
			for j, u := range row[:i+1] {
				t[j] += v * u
			}
		}
	}
}
