package cluster

import "golang.org/x/sys/cpu"

// newKernel returns the loops for this machine.
func newKernel() kernel {
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		return kernel{
			distances: func(q, p, b, x []float64, d int) { distancesAVX2(&q[0], &p[0], &b[0], &x[0], d) },
			pack: func(z, f, x, mean []float64, index []int32, root []float64, stride int) {
				packAVX2(&z[0], &f[0], &x[0], &mean[0], &index[0], &root[0], len(index), stride/vector)
			},
			rank: func(c, z []float64, rows, stride int) { rankAVX2(&c[0], &z[0], rows, stride/vector) },
		}
	}
	return portableKernel()
}

//go:noescape
func distancesAVX2(q, p, b, x *float64, d int)

//go:noescape
func packAVX2(z, f, x, mean *float64, index *int32, root *float64, rows, vectors int)

//go:noescape
func rankAVX2(c, z *float64, rows, vectors int)
