package vts

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestDecodeRejectsWhatIsNoStatusPage(t *testing.T) {
	good := string(page(2, 2, 4, 5))
	change := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the page holds no %s", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for _, c := range []struct {
		sentence, body string
		reason         Reason
	}{
		{"empty", "", ReasonNotJSON},
		{"HTML", "<html><body>502 Bad Gateway</body></html>", ReasonNotJSON},
		{"blanks only", " \n\t", ReasonNotJSON},
		{"a JSON array", "[]", ReasonNotJSON},
		{"a UTF-8 byte order mark before it", "\xef\xbb\xbf" + good, ReasonNotJSON},
		{"an empty object", "{}", ReasonMissing},
		{"JSON of something else", `{"status":"ok","code":200}`, ReasonMissing},
		{"cut off in the middle", good[:len(good)/2], ReasonMalformed},
		{"cut off by one byte", good[:len(good)-1], ReasonMalformed},
		{"cut off at 128 KiB", string(page(20, 20, 8, 63)[:128<<10]), ReasonMalformed},
		{"a byte 0x00 between the tokens", change(`,"nowMsec"`, ",\x00\"nowMsec\""), ReasonMalformed},
		{"NaN", change(`"requestCounter":167`, `"requestCounter":NaN`), ReasonMalformed},
		{"a negative counter", change(`"requestCounter":167`, `"requestCounter":-1`), ReasonMalformed},
		{"a counter with a fraction", change(`"requestCounter":167`, `"requestCounter":1.5`), ReasonMalformed},
		{"a counter with an exponent", change(`"requestCounter":167`, `"requestCounter":1e3`), ReasonMalformed},
		{"a counter of 2^64", change(`"requestCounter":167`, `"requestCounter":18446744073709551616`), ReasonMalformed},
		{"a counter in quotes", change(`"requestCounter":167`, `"requestCounter":"167"`), ReasonMalformed},
		{"null for a counter", change(`"requestCounter":167`, `"requestCounter":null`), ReasonMalformed},
		{"a weight beyond any setting", change(`"weight":2`, `"weight":99999999999`), ReasonMalformed},
		{"a server without a counter", change(`"outBytes":43049,`, ``), ReasonMissing},
		{"a server without its weight", change(`"weight":2,`, ``), ReasonMissing},
		{"responses without a class that is not 0", change(`"4xx":0,"5xx":1`, `"4xx":0`), ReasonMissing},
		{"no clock", change(`"nowMsec":1795300582389,`, ``), ReasonMissing},
		{"a clock at zero", change(`"nowMsec":1795300582389,`, `"nowMsec":0,`), ReasonMissing},
		{"the same group twice", change(`"group_001"`, `"group_000"`), ReasonDuplicate},
		{"a histogram whose bounds fall", change(`"responseBuckets":{"msecs":[5,10`,
			`"responseBuckets":{"msecs":[50,10`), ReasonMalformed},
		{"a histogram of fewer counts than bounds", change(`"responseBuckets":{"msecs":[5,10`,
			`"responseBuckets":{"msecs":[10`), ReasonMalformed},
		{"brackets that do not match", change(`"times":[`, `"times":{`), ReasonMalformed},
		{"nested without end", change(`"hostName":"vm"`, `"hostName":`+strings.Repeat("[", 100000)), ReasonMalformed},
		{"something after the object", good + "{}", ReasonMalformed},
		{"zeros after the object, as from a file that was cut off and grown", good + "\x00\x00", ReasonMalformed},
		{"a comma too many", change(`"connections":{`, `"connections":{,`), ReasonMalformed},
		{"a comma before the end", change(`"requests":2420}`, `"requests":2420,}`), ReasonMalformed},
		{"no comma", change(`,"nowMsec"`, `"nowMsec"`), ReasonMalformed},
	} {
		st := new(Status)
		if err := Decode([]byte(c.body), time.Time{}, st); ReasonOf(err) != c.reason {
			t.Errorf("%s: got %v (%s), want reason %s", c.sentence, err, ReasonOf(err), c.reason)
		}
	}
}

func TestDecodeTakesWhatAStatusPageMayHold(t *testing.T) {
	good := string(page(2, 2, 4, 5))
	for _, c := range []struct {
		sentence, old, new string
		check              func(Status) bool
	}{
		{"the largest counter", `"requestCounter":167`, `"requestCounter":18446744073709551615`, func(s Status) bool {
			return s.Upstreams[0].Peers[0].Requests == math.MaxUint64
		}},
		{"keys that nobody knows", `"hostName":"vm"`, `"hostName":"vm","new":{"a":[1,{"b":"]}\""}],"c":null}`,
			func(s Status) bool { return len(s.Upstreams) == 2 }},
		{"blanks and line ends", `"loadMsec":`, "\n\t \"loadMsec\" :\r\n ", func(s Status) bool {
			return s.LoadMsec == 1795300578100
		}},
		{"an escaped name", `"group_001"`, `"a\/\u00e9\n"`, func(s Status) bool {
			return s.Upstreams[0].Name == "a/é\n"
		}},
		{"an IPv6 address", `"10.0.0.0:8080"`, `"[::1]:8080"`, func(s Status) bool {
			return s.Upstreams[0].Peers[0].Server == "[::1]:8080"
		}},
		{"a server listed twice is one, its weights added up", `"10.0.0.1:8080"`, `"10.0.0.0:8080"`,
			func(s Status) bool {
				return len(s.Upstreams[0].Peers) == 1 && s.Upstreams[0].Peers[0].Weight == 4 &&
					s.Upstreams[0].Peers[0].Requests == 167
			}},
		{"a byte 0x1f in a name", `"group_000"`, "\"group\x1f000\"", func(s Status) bool {
			return s.Upstreams[0].Name == "group\x1f000"
		}},
		{"a byte 0x1f in a part that is passed over", `"hostName":"vm"`, "\"hostName\":\"v\x1fm\"",
			func(s Status) bool {
				return len(s.Upstreams) == 2
			}},
		{"a name with a backslash that was not escaped", `"group_000"`, `"a\d\uzz"`, func(s Status) bool {
			return s.Upstreams[0].Name == `a\d\uzz`
		}},
		{"responses without a class that must be 0", `"4xx":0,"5xx":1`, `"5xx":1`, func(s Status) bool {
			return s.Upstreams[0].Peers[0].Responses == Responses{1: 166, 4: 1}
		}},
		{"no upstream: nothing is wrong with the page, but a client does not take it", `"upstreamZones"`,
			`"otherZones"`, func(s Status) bool {
				return len(s.Upstreams) == 0 && ReasonOf(s.Shows()) == ReasonNoUpstream
			}},
		{"bounds with a fraction", `"responseBuckets":{"msecs":[5,10`, `"responseBuckets":{"msecs":[0.5,10`,
			func(s Status) bool { return s.Upstreams[0].Peers[0].BucketsMsec[0] == 0.5 }},
	} {
		if !strings.Contains(good, c.old) {
			t.Fatalf("%s: the page holds no %s", c.sentence, c.old)
		}
		st := new(Status)
		if err := Decode([]byte(strings.Replace(good, c.old, c.new, 1)), time.Time{}, st); err != nil || !c.check(*st) {
			t.Errorf("%s: got %+v, %v", c.sentence, st, err)
		}
	}
}

func TestDecodingAgainLeavesNothingBehind(t *testing.T) {
	used := new(Status)
	for _, body := range [][]byte{page(4, 3, 8, 5), page(2, 2, 0, 0), page(3, 5, 4, 1), page(1, 1, 2, 0)} {
		fresh := new(Status)
		if err := Decode(body, time.Time{}, fresh); err != nil {
			t.Fatal(err)
		}
		if err := Decode(body, time.Time{}, used); err != nil {
			t.Fatal(err)
		}
		a, b := AppendRecord(nil, used), AppendRecord(nil, fresh)
		if !bytes.Equal(a, b) {
			t.Errorf("decoded into used memory: got\n%s\nwant\n%s", a, b)
		}
	}
}

func TestRecordsReadAsWritten(t *testing.T) {
	st := testStatus(7)
	got := new(Status)
	if err := DecodeRecord(AppendRecord(nil, st), got); err != nil {
		t.Fatal(err)
	}
	got.Upstreams[0].Peers[1].Buckets, got.Upstreams[0].Peers[1].BucketsMsec = nil, nil
	if !reflect.DeepEqual(got, st) {
		t.Errorf("got %+v, want %+v", got, st)
	}
}

// FuzzDecode: no text makes the decoder panic, and what it accepts reads as written through the record format.
func FuzzDecode(f *testing.F) {
	f.Add(page(1, 2, 3, 2))
	f.Add([]byte(`{"loadMsec":1,"nowMsec":2,"connections":{},"upstreamZones":{"a":[]}}`))
	f.Add([]byte(`{"nowMsec":1e9,"a":"\ud800\u00`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var st, again Status
		if Decode(body, time.Unix(1, 0).UTC(), &st) != nil {
			return
		}
		line := AppendRecord(nil, &st)
		if err := DecodeRecord(line, &again); err != nil {
			t.Fatalf("read %s: %v", line, err)
		}
		if got := AppendRecord(nil, &again); !bytes.Equal(got, line) {
			t.Fatalf("got %s, want %s", got, line)
		}
	})
}

// FuzzReader: no file makes the reader panic or loop for ever.
func FuzzReader(f *testing.F) {
	f.Add(AppendRecord(nil, testStatus(1)))
	f.Add([]byte("{\n\"nowMsec\":1,\n"))
	f.Add([]byte(`{"z":{"s":{"requestCounter":1}}}` + "\n{"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := NewFile("fuzz", bytes.NewReader(text))
		file.SkipBad = true
		if _, err := readAll(file); err != nil {
			t.Fatalf("with bad lines skipped: %v", err)
		}
		if lines := bytes.Count(text, []byte("\n")) + 1; file.Bad > lines {
			t.Fatalf("got %d bad lines of %d", file.Bad, lines)
		}
	})
}
