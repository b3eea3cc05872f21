package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Subjects, streams and buckets.
const (
	samplePrefix    = "trimtab.sample."
	decisionSubject = "trimtab.decision"
	samplesStream   = "trimtab_samples"
	decisionsStream = "trimtab_decisions"
	plansBucket     = "trimtab_plans"
	membersBucket   = "trimtab_members"
	policyBucket    = "trimtab_policy"
	beliefsBucket   = "trimtab_beliefs"
	leaseBucket     = "trimtab_lease"
	statusBucket    = "trimtab_status"

	allKey      = "all"
	nodePrefix  = "node."
	leaseKey    = "centre"
	statusKey   = "centre"
	beliefsKey  = "snapshot"
	studentName = "student-%d"
)

// kvSubject is the subject that a put of the key publishes.
func kvSubject(bucket, key string) string { return "$KV." + bucket + "." + key }

// getSubject is the request that returns the last value of a key, of any replica.
func getSubject(bucket, key string) string {
	return "$JS.API.DIRECT.GET.KV_" + bucket + "." + kvSubject(bucket, key)
}

// Retention of what is stored.
const (
	sampleAge     = 10 * time.Minute
	sampleBytes   = 256 << 20
	samplesEach   = 256 // of one node
	decisionAge   = 30 * 24 * time.Hour
	decisionBytes = 64 << 20
	duplicates    = 2 * time.Minute
	memberAge     = 24 * time.Hour
	leaseAge      = 10 * time.Second
	bucketBytes   = 64 << 20
	planBytes     = 16 << 20
	// LeastStore is what all streams and buckets together may take at most.
	LeastStore = sampleBytes + decisionBytes + 3*bucketBytes + planBytes + 8<<20
)

// buckets are the key-value buckets, each holding the last value of every key.
func buckets(replicas int) []jetstream.KeyValueConfig {
	all := []jetstream.KeyValueConfig{
		{Bucket: plansBucket, MaxBytes: planBytes, Description: "plan of all nodes, and of those with limits " +
			"of their own"},
		{Bucket: membersBucket, MaxBytes: bucketBytes, TTL: memberAge, Description: "what nodes say of themselves"},
		{Bucket: policyBucket, MaxBytes: bucketBytes, Description: "small policies for nodes, by version"},
		{Bucket: beliefsBucket, MaxBytes: bucketBytes, Description: "what the centre has learned"},
		{Bucket: leaseBucket, MaxBytes: 1 << 20, TTL: leaseAge, Description: "which centre plans"},
		{Bucket: statusBucket, MaxBytes: 4 << 20, Description: "where the fleet stands"},
	}
	for i := range all {
		all[i].History, all[i].Storage, all[i].Replicas = 1, jetstream.FileStorage, replicas
	}
	return all
}

func streams(replicas int) []jetstream.StreamConfig {
	return []jetstream.StreamConfig{
		{Name: samplesStream, Subjects: []string{samplePrefix + "*"}, Retention: jetstream.LimitsPolicy,
			Discard: jetstream.DiscardOld,
			MaxAge:  sampleAge, MaxBytes: sampleBytes, MaxMsgsPerSubject: samplesEach, MaxMsgSize: MostMessage,
			Duplicates: duplicates,
			Storage:    jetstream.FileStorage, Replicas: replicas, Description: "what nodes saw, by interval"},
		{Name: decisionsStream, Subjects: []string{decisionSubject}, Retention: jetstream.LimitsPolicy,
			Discard: jetstream.DiscardOld,
			MaxAge:  decisionAge, MaxBytes: decisionBytes, MaxMsgSize: MostMessage, Duplicates: duplicates,
			Storage:  jetstream.FileStorage,
			Replicas: replicas, Description: "what the centre decided"},
	}
}

// MostMessage is the largest message in bytes: a sample of MostServers servers with histograms, or what a centre has
// learned.
const MostMessage = 8 << 20

// prepare makes the streams and buckets that are missing, and brings the others up to date.
func prepare(ctx context.Context, js jetstream.JetStream, replicas int) error {
	for _, c := range streams(replicas) {
		if _, err := js.CreateOrUpdateStream(ctx, c); err != nil {
			return fmt.Errorf("prepare stream %s: %w", c.Name, err)
		}
	}
	for _, c := range buckets(replicas) {
		if _, err := js.CreateOrUpdateKeyValue(ctx, c); err != nil {
			return fmt.Errorf("prepare bucket %s: %w", c.Bucket, err)
		}
	}
	return nil
}
