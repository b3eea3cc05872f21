package requests_test

import (
	"fmt"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"trimtab/deathstarbench"
	"trimtab/deathstarbench/requests"
)

func ExampleNewTargeter() {
	next, err := requests.NewTargeter(deathstarbench.ReadHomeTimeline, "http://nginx:8080",
		requests.TargetOptions{FirstUser: 1, Seed: 1})
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
