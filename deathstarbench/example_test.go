package deathstarbench_test

import (
	"fmt"

	"trimtab/deathstarbench"
)

func ExampleLoad() {
	s, err := deathstarbench.Load("capacity-1-2-4")
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, rho := range s.Utilisation(0, nil) {
		fmt.Printf("%s %.0f %%\n", s.Servers[i].Name, 100*rho)
	}
	best, err := s.BestUtilisation(0)
	fmt.Printf("best split: %.0f %% %v\n", 100*best, err)
	// Output:
	// a 163 %
	// b 82 %
	// c 41 %
	// best split: 70 % <nil>
}
