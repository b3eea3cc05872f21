package fleet

import "slices"

// joined is one sample of both intervals where that can be, else the later one.
func joined(a, b *Sample) *Sample {
	if a == nil || len(a.Groups) != len(b.Groups) || a.Span()+b.Span() > MostInterval {
		return b
	}
	out := *b
	out.Interval = a.Interval + b.Interval
	out.Groups = make([]Group, len(b.Groups))
	for i := range b.Groups {
		g, ok := joinedGroup(&a.Groups[i], &b.Groups[i])
		if !ok {
			return b
		}
		out.Groups[i] = g
	}
	return &out
}

func joinedGroup(a, b *Group) (Group, bool) {
	same := a.Name == b.Name && slices.Equal(a.Servers, b.Servers) && slices.Equal(a.BucketsMS, b.BucketsMS) &&
		len(a.Buckets) == len(b.Buckets) &&
		len(a.InBytes) == len(b.InBytes) && len(a.OutBytes) == len(b.OutBytes)
	if !same {
		return Group{}, false
	}
	add := func(x, y []uint64) []uint64 {
		out := slices.Clone(y)
		for i := range x {
			out[i] += x[i]
		}
		return out
	}
	out := *b
	out.Requests, out.RequestMS, out.ResponseMS = add(a.Requests, b.Requests), add(a.RequestMS, b.RequestMS),
		add(a.ResponseMS, b.ResponseMS)
	out.InBytes, out.OutBytes = add(a.InBytes, b.InBytes), add(a.OutBytes, b.OutBytes)
	out.NoLive, out.Turned = a.NoLive+b.NoLive, a.Turned+b.Turned
	out.Responses = slices.Clone(b.Responses)
	for i := range a.Responses {
		for c := range out.Responses[i] {
			out.Responses[i][c] += a.Responses[i][c]
		}
	}
	out.Buckets = slices.Clone(b.Buckets)
	for i := range a.Buckets {
		if len(a.Buckets[i]) != len(b.Buckets[i]) {
			return Group{}, false
		}
		out.Buckets[i] = add(a.Buckets[i], b.Buckets[i])
	}
	return out, true
}
