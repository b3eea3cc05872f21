package params

// Params are the tuned numbers of the tuner. All memories are durations in seconds, all gains follow from the length of the
// interval. Table says of each what removing it costs.
type Params struct {
	// What a server is (package estimate).
	DriftPerMinute float64 `unit:"log" about:"how far the speed of a server drifts in a minute that is no surprise"`
	ModelNoise     float64 `unit:"log" about:"relative error of the relation between requests inside and slots busy, while requests wait"`
	FloorNoise     float64 `unit:"log" about:"relative difference between intervals that no number of requests removes"`
	OutlierSD      float64 `unit:"sd" about:"innovations beyond it count as this much: a pause is not a slower server"`
	AlikeSD        float64 `unit:"log" about:"servers of a pool whose speeds differ by less count as alike"`
	ApartSD        float64 `unit:"log" about:"how far speeds of servers differ that are not alike"`
	OperatorSD     float64 `unit:"log" about:"how far the operator's weights may be from capacities"`
	EvidenceMemory float64 `unit:"s" about:"how long what spoke for or against a number of slots is remembered"`
	EvidenceMost   float64 `unit:"nat" about:"most that can speak against a number of slots"`
	ChangeSlack    float64 `unit:"sd" about:"deviation per interval that does not count towards a change"`
	ChangeAlarm    float64 `unit:"sd" about:"cumulative sum that is a change of a server"`
	Persistence    float64 `unit:"s" about:"what ends sooner, a pause, a burst, a retry, is not news"`
	ChangeSD       float64 `unit:"log" about:"how far a speed may have moved in a change"`
	ClassSD        float64 `unit:"log" about:"how far classes of a server differ from its common speed at first"`
	FailureMemory  float64 `unit:"s" about:"how long failures are remembered"`

	// What a plan is worth (package plan).
	Headroom    float64 `unit:"ratio" about:"load that a plan is made for, in units of the present load"`
	Stress      float64 `unit:"ratio" about:"utilisation of all servers in the load that a plan must survive"`
	StressShare float64 `unit:"probability" about:"weight of that load"`
	KnownStress float64 `unit:"probability" about:"weight of that load while the regime of load is known, and what follows it"`
	ForecastSec float64 `unit:"s" about:"how far ahead regimes are expected: what a change takes to be made and to pay"`
	FreshSec    float64 `unit:"s" about:"for so long a regime that is known has just begun: what it needs is not waited for"`
	MeanShare   float64 `unit:"deadlines" about:"weight of the mean response time beside tardiness"`
	HorizonSec  float64 `unit:"s" about:"time that a plan looks ahead: a queue beyond full use grows for so long"`
	Significant float64 `unit:"sd" about:"part of a difference of speeds that is taken for noise"`

	// Whether it pays and is safe (package gate).
	MinGain      float64 `unit:"ratio" about:"least predicted gain of a change, with a full budget"`
	CalmPrice    float64 `unit:"ratio" about:"how many times that gain while a known regime goes on"`
	DeadBand     float64 `unit:"ratio" about:"least relative change of a share worth writing"`
	PatienceSec  float64 `unit:"s" about:"how long a gain must last before it is worth a change"`
	SettleSec    float64 `unit:"s" about:"time after a change in which nothing is judged"`
	Growth       float64 `unit:"ratio" about:"most that the share of a server grows in one change"`
	BurstChanges float64 `unit:"changes" about:"changes that a full budget holds"`
	RefillSec    float64 `unit:"s" about:"time in which the budget regains a change"`
}

// Default returns the parameters in use.
func Default() Params {
	return Params{
		DriftPerMinute: 0.05,
		ModelNoise:     0.06,
		FloorNoise:     0.02,
		OutlierSD:      2.5,
		AlikeSD:        0.08,
		ApartSD:        0.8,
		OperatorSD:     0.8,
		EvidenceMemory: 1800,
		EvidenceMost:   12,
		ChangeSlack:    0.75,
		ChangeAlarm:    5,
		Persistence:    4,
		ChangeSD:       0.6,
		ClassSD:        0.5,
		FailureMemory:  10,
		Headroom:       1.15,
		Stress:         0.9,
		StressShare:    0.8,
		KnownStress:    0.6,
		ForecastSec:    30,
		FreshSec:       20,
		MeanShare:      0.2,
		HorizonSec:     20,
		Significant:    2,
		MinGain:        0.03,
		CalmPrice:      3,
		DeadBand:       0.05,
		PatienceSec:    4,
		SettleSec:      3,
		Growth:         3,
		BurstChanges:   6,
		RefillSec:      30,
	}
}
