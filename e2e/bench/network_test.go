package bench

import (
	"testing"
	"time"
)

func TestParseNetwork(t *testing.T) {
	tests := map[string]Network{
		"plain":       {},
		"tls":         {TLS: true},
		"tls30":       {TLS: true, RoundTrip: 30 * time.Millisecond},
		"tls30-100":   {TLS: true, RoundTrip: 30 * time.Millisecond, Rate: 100},
		"plain-400":   {Rate: 400},
		"plain5-1000": {RoundTrip: 5 * time.Millisecond, Rate: 1000},
	}
	for name, want := range tests {
		if got, err := ParseNetwork(name); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
		} else if got.String() != name {
			t.Errorf("%s is called %s", name, got)
		}
	}
	for _, name := range []string{"", "30ms", "tls-", "tls30ms", "tls30-", "ssl30", "tls12345", "tls30-123456"} {
		if got, err := ParseNetwork(name); err == nil {
			t.Errorf("%q is %+v", name, got)
		}
	}
}

func TestNetworkSeconds(t *testing.T) {
	if got := slow.seconds(125e6); got != 10 {
		t.Errorf("1 Gbit takes %v s at 100 Mbit/s", got)
	}
	if got := usual.seconds(125e6); got != 0 {
		t.Errorf("a network without a limit takes %v s", got)
	}
}
