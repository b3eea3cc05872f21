package params

// Params are the tuned numbers of the tuner. All memories are durations in seconds, all gains follow from the length
// of the interval.
//
// The tags of a field: unit and about say what it is; from says where the value comes from, a convention (of the
// field), an estimate (reasoned, not measured) or chosen (by play); off is the value at which the part it belongs to
// is not there, if there is one; least and most bound what the ablation sets it to; part begins the fields of a
// package, or of what the configuration has keys for.
type Params struct {
	DriftPerMinute float64 `part:"estimate" unit:"log" off:"0" about:"how far the speed of a server drifts in a minute that is no surprise" from:"estimate: 5 % in a minute, 40 % in an hour of chance"`
	ModelNoise     float64 `unit:"log" off:"0" about:"relative error of the relation between requests inside and slots busy, while requests wait" from:"estimate: order of the error of Sakasegawa's formula"`
	FloorNoise     float64 `unit:"log" off:"0" about:"relative difference between intervals that no number of requests removes" from:"estimate: whole milliseconds of the status page at 50 ms"`
	OutlierSD      float64 `unit:"sd" off:"1e9" about:"innovations beyond it count as this much: a pause is not a slower server" from:"chosen: by play, 2.5 answers overloads late, 6 answers pauses"`
	AlikeSD        float64 `unit:"log" off:"1e3" about:"servers of a pool whose speeds differ by less count as alike" from:"estimate: machines of one kind differ by less than a tenth"`
	AlikeShare     float64 `unit:"probability" off:"0" least:"0" most:"1" about:"that a server is as fast as is typical of its pool" from:"convention: as likely as not"`
	SlotsApart     float64 `unit:"servers" about:"servers of the pool whose slots are known count as much, beside what any server may have" from:"estimate: one"`
	ApartSD        float64 `unit:"log" about:"how far speeds of servers differ that are not alike" from:"estimate: a factor of 2.2 either way"`
	EvidenceMemory float64 `unit:"s" off:"1e12" about:"how long what spoke for or against a number of slots is remembered, and how much a server usually varies" from:"estimate: machines are replaced in hours, not in minutes"`
	EvidenceMost   float64 `unit:"nat" off:"1e12" about:"most that can speak against a number of slots" from:"estimate: odds of 160,000 to 1"`
	ChangeSlack    float64 `unit:"sd" off:"0" about:"deviation per interval that does not count towards a change" from:"convention: half the shift to be found (Page 1954), 1.5 sd"`
	ChangeAlarm    float64 `unit:"sd" off:"1e12" about:"cumulative sum that is a change of a server" from:"convention: 4 to 5 for cumulative sums; chosen by steady hours, 5 to 8"`
	Persistence    float64 `unit:"s" off:"0" about:"what ends sooner, a pause, a burst, a retry, is not news" from:"estimate: pauses of garbage collection last 1 to 3 s"`
	ChangeSD       float64 `unit:"log" off:"0" about:"how far a speed may have moved in a change" from:"estimate: a factor of 1.8 either way"`
	ClassSD        float64 `unit:"log" off:"0.02" about:"how far a class differs from the speed that its server has for the others" from:"estimate: machines of one kind run all code alike but for a third"`
	Failing        float64 `unit:"probability" most:"1" about:"share of failures from which a server is one that fails" from:"estimate: ten times what is usual"`
	FailureMemory  float64 `unit:"s" about:"how long failures are remembered of a server that is hardly asked any more" from:"chosen: servers that shed and hang, 10 to 60"`
	FailureFew     float64 `unit:"requests" about:"answers that weigh as much as what was believed of failures: one in a few is chance" from:"chosen: servers that shed and hang, 5 to 20"`
	SpreadRequests float64 `unit:"requests" about:"in which the spread of response times is learned" from:"estimate: a variance is known to 5 % after so many"`
	LeastPart      float64 `unit:"ratio" most:"1" about:"least part of a response time that is service" from:"estimate: the queue is 49 services long"`
	SampleShare    float64 `unit:"ratio" off:"0" most:"1" about:"part of the variance of waits that classes of a server do not share" from:"chosen: by hand"`
	SCVFirst       float64 `unit:"scv" about:"spread of service times of a group before it was seen" from:"estimate: between constant and exponential"`
	SCVMemory      float64 `unit:"s" about:"over which that spread and a deadline are learned" from:"estimate: some ten intervals"`
	QuietWait      float64 `unit:"ratio" most:"1" about:"part of response times that is waiting up to which they show service times, and arrivals" from:"estimate: below half use"`
	PassedOver     float64 `unit:"requests" about:"that a server should have been sent since it answered, before it is passed over, or hangs" from:"estimate: by chance never"`
	TriedAgain     float64 `unit:"ratio" most:"1" about:"of what it should have been sent, at most, is what a server is sent while NGINX passes over it" from:"estimate: fail_timeout lets one in some intervals"`
	LeastProbable  float64 `unit:"probability" off:"0" most:"1" about:"numbers of slots below it are left out of a belief" from:"estimate: saves most of the work of a plan"`

	RateSurprise float64 `part:"load" unit:"sd" off:"1e9" about:"of a Poisson stream, at which the rate is another one" from:"estimate: by chance once in hours"`

	LoadNews     float64 `unit:"ratio" off:"0" about:"of the mean rate since the last news, that is news" from:"estimate: more than the noise of any rate that is learned"`
	Stress       float64 `part:"plan" unit:"ratio" most:"1" about:"utilisation of all servers in the load that a plan must survive" from:"convention: what operators call full"`
	StressShare  float64 `unit:"probability" off:"0" least:"0" most:"1" about:"weight of that load" from:"chosen: by hand"`
	UrgentStress float64 `unit:"probability" off:"0" least:"0" most:"1" about:"weight of that load while a server is overloaded or fails" from:"chosen: worlds 1 to 200 and the library, 0.05 to 0.2"`
	KnownStress  float64 `unit:"probability" least:"0" most:"1" about:"weight of that load while the regime of load is known, and what follows it" from:"chosen: recurring worlds 1 to 12"`
	ForecastSec  float64 `unit:"s" off:"0" about:"how far ahead regimes are expected" from:"estimate: what a change takes to be made and to pay"`
	MeanShare    float64 `unit:"deadlines" off:"0" about:"weight of the mean response time beside tardiness" from:"chosen: by hand"`
	HorizonSec   float64 `unit:"s" about:"time that a plan looks ahead: a queue beyond full use grows for so long, rates are averaged over it while what differs is chance, and half of it passes between emergencies that the budget does not pay" from:"estimate: some control intervals"`
	Pull         float64 `unit:"nat" off:"0" about:"price of spreading a class other than by capacity" from:"chosen: worlds 1 to 99, 0.2 to 5; flat"`
	PullAware    float64 `unit:"nat" about:"the same in an emergency, and of methods that go by what servers hold, where what a weight does is known less" from:"chosen: worlds 1 to 99, 0.2 to 100; flat between 2 and 20"`
	Significant  float64 `unit:"sd" off:"0" about:"part of a difference of speeds that is taken for noise" from:"convention: 95 %"`

	LongWait   float64 `part:"gate" unit:"services" about:"that requests wait which is no short queue" from:"estimate: ten services are long for any service"`
	UrgentGain float64 `unit:"ratio" off:"1e9" about:"gain that is enough in an emergency, while a change is left" from:"chosen: worlds 1 to 99; a change that ends one brings more"`
	QuietSec   float64 `unit:"s" off:"1e12" about:"time without news in which the gain that a change must bring doubles, and the time for which it must last, and what is seen counts half as evidence of slots" from:"chosen: by hand"`
	QuietMost  float64 `unit:"ratio" off:"1" least:"1" about:"most that it grows by, and the time for which the gain must last" from:"chosen: steady hours"`
	SettleSec  float64 `unit:"s" off:"0" about:"time after a change in which nothing is judged" from:"chosen: worlds 1 to 80: 3 s is long in an emergency, and none of them has intervals below it"`

	Headroom     float64 `part:"configuration" unit:"ratio" off:"1" least:"1" about:"load that a plan is made for, in units of the present load" from:"convention: default of headroom in the configuration"`
	MinGain      float64 `unit:"ratio" off:"0" about:"least predicted gain of a change, with a full budget" from:"convention: default of min_gain in the configuration"`
	DeadBand     float64 `unit:"ratio" off:"0" about:"least relative change of a share worth writing" from:"convention: default of dead_band in the configuration"`
	BurstChanges float64 `unit:"changes" off:"1e9" least:"1" about:"changes that a full budget holds" from:"convention: default of the budget in the configuration"`
	RefillSec    float64 `unit:"s" off:"0" about:"time in which the budget regains a change" from:"convention: default of the budget in the configuration"`
}

// Default returns the parameters in use.
func Default() Params {
	return Params{
		DriftPerMinute: 0.05,
		ModelNoise:     0.06,
		FloorNoise:     0.02,
		OutlierSD:      4,
		AlikeSD:        0.08,
		AlikeShare:     0.5,
		SlotsApart:     1,
		ApartSD:        0.8,
		EvidenceMemory: 1800,
		EvidenceMost:   12,
		ChangeSlack:    0.75,
		ChangeAlarm:    6,
		Persistence:    4,
		ChangeSD:       0.6,
		ClassSD:        0.3,
		Failing:        0.05,
		FailureMemory:  14,
		FailureFew:     8,
		SpreadRequests: 2000,
		LeastPart:      0.02,
		SampleShare:    0.3,
		SCVFirst:       0.6,
		SCVMemory:      60,
		QuietWait:      0.3,
		PassedOver:     20,
		TriedAgain:     0.2,
		LeastProbable:  0.02,
		RateSurprise:   4,
		LoadNews:       0.25,
		Headroom:       1.15,
		Stress:         0.9,
		StressShare:    0.8,
		UrgentStress:   0.1,
		KnownStress:    0.6,
		ForecastSec:    30,
		MeanShare:      0.2,
		HorizonSec:     20,
		Pull:           1,
		PullAware:      8,
		Significant:    2,
		MinGain:        0.03,
		LongWait:       10,
		UrgentGain:     0.3,
		DeadBand:       0.05,
		QuietSec:       120,
		QuietMost:      10,
		SettleSec:      1.5,
		BurstChanges:   6,
		RefillSec:      30,
	}
}
