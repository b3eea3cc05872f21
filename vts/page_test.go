package vts

import (
	"fmt"
	"strings"
)

// page renders a status page of the module as it looks with this many groups, servers in each, bounds of the histograms
// and entries in the rings of recent times (the module has 63).
func page(groups, servers, bounds, ring int) []byte {
	numbers := func(n int, f func(i int) int) string {
		s := make([]string, n)
		for i := range s {
			s[i] = fmt.Sprint(f(i))
		}
		return "[" + strings.Join(s, ",") + "]"
	}
	rings := fmt.Sprintf(`{"times":%s,"msecs":%s}`, numbers(ring, func(i int) int { return 1795300577758 + i }),
		numbers(ring, func(i int) int { return 5 + i%20 }))
	histogram := fmt.Sprintf(`{"msecs":%s,"counters":%s}`, numbers(bounds, func(i int) int { return 5 * (i + 1) }),
		numbers(bounds, func(i int) int { return 40 * (i + 1) }))
	over := `"overCounts":{"maxIntegerSize":18446744073709551615,"requestCounter":0,"inBytes":0,"outBytes":0,"1xx":0,"2xx":0,"3xx":0,"4xx":0,"5xx":0,"requestMsecCounter":0,"responseMsecCounter":0}`
	var b strings.Builder
	b.WriteString(`{"hostName":"vm","moduleVersion":"v0.2.7","nginxVersion":"1.22.1","loadMsec":1795300578100,"nowMsec":1795300582389,` +
		`"connections":{"active":1,"reading":0,"writing":1,"waiting":0,"accepted":77,"handled":77,"requests":2420},` +
		`"sharedZones":{"name":"ngx_http_vhost_traffic_status","maxSize":1048575,"usedSize":42784,"usedNode":12,"freeSize":983040},` +
		`"serverZones":{"localhost":{"requestCounter":2419,"requestMsecs":` + rings + `}},"upstreamZones":{`)
	for g := range groups {
		if g > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"group_%03d":[`, g)
		for s := range servers {
			if s > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"server":"10.0.%d.%d:8080","requestCounter":%d,"inBytes":30160,"outBytes":43049,"responses":{"1xx":0,"2xx":%d,"3xx":0,"4xx":0,"5xx":1},`+
				`"requestMsecCounter":2965,"requestMsec":10,"requestMsecs":%s,"requestBuckets":%s,"responseMsecCounter":2955,"responseMsec":10,"responseMsecs":%s,"responseBuckets":%s,`+
				`"weight":2,"maxFails":1,"failTimeout":10,"backup":false,"down":false,%s}`,
				g, s, 40*bounds+7, 40*bounds+6, rings, histogram, rings, histogram, over)
		}
		b.WriteByte(']')
	}
	b.WriteString("}}")
	return []byte(b.String())
}
