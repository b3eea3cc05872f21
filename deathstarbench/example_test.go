package deathstarbench_test

import (
	"fmt"

	vegeta "github.com/tsenart/vegeta/v12/lib"

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

func ExampleNewTargeter() {
	next, err := deathstarbench.NewTargeter(deathstarbench.ReadHomeTimeline, "http://nginx:8080", deathstarbench.TargetOptions{FirstUser: 1, Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	var target vegeta.Target
	for range 2 {
		if err := next(&target); err != nil {
			fmt.Println(err)
		}
		fmt.Println(target.Method, target.URL)
	}
	// Output:
	// GET http://nginx:8080/wrk2-api/home-timeline/read?user_id=600&start=68&stop=78
	// GET http://nginx:8080/wrk2-api/home-timeline/read?user_id=250&start=92&stop=102
}
