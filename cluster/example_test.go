package cluster_test

import (
	"fmt"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"

	"trimtab/cluster"
)

// Two clouds of points, and which of them a new point belongs to.
func Example() {
	rng := rand.New(rand.NewPCG(1, 1))
	x := mat.NewDense(400, 2, nil)
	for i := range 400 {
		centre := float64(i%4/3) * 8 // a quarter around (8, 8)
		x.SetRow(i, []float64{centre + rng.NormFloat64(), centre + rng.NormFloat64()})
	}
	schema := cluster.Schema{Set: cluster.ColumnFeatures, Columns: []string{"width", "height"}}
	mixture, err := cluster.Fit(x, cluster.Settings{K: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	model, err := cluster.NewModel(schema, cluster.IdentityScaler(2), mixture, x)
	if err != nil {
		fmt.Println(err)
		return
	}
	w := model.NewWorkspace()
	for _, point := range [][]float64{{0.3, -0.5}, {7.9, 8.2}, {30, -30}} {
		a := model.Assign(w, point)
		fmt.Printf("%v: %s, novel: %t\n", point, model.Regimes[a.Regime].Label, a.Novel)
	}
	fmt.Printf("shares: %.2f and %.2f\n", model.Regimes[0].Share, model.Regimes[1].Share)
	// Output:
	// [0.3 -0.5]: regime 0, novel: false
	// [7.9 8.2]: regime 1, novel: false
	// [30 -30]: regime 0, novel: true
	// shares: 0.75 and 0.25
}
