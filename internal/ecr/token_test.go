package ecr

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/redact"
)

func TestDecodeToken(t *testing.T) {
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	tests := []struct {
		name, token, endpoint string
		want                  RegistryAuth
		wantErr               string
	}{
		{
			name: "ECR's", token: encode("AWS:ey:J"), endpoint: "https://123456789012.dkr.cn-north-1.amazonaws.com.cn",
			want: RegistryAuth{Username: "AWS", Password: "ey:J", ServerAddress: "123456789012.dkr.cn-north-1.amazonaws.com.cn"},
		},
		{
			name: "a port", token: encode("AWS:secret"), endpoint: "http://127.0.0.1:5000",
			want: RegistryAuth{Username: "AWS", Password: "secret", ServerAddress: "127.0.0.1:5000"},
		},
		{
			name: "a bare host", token: encode("AWS:secret"), endpoint: "localhost:4566",
			want: RegistryAuth{Username: "AWS", Password: "secret", ServerAddress: "localhost:4566"},
		},
		{name: "not base64", token: "secret!", endpoint: "https://host", wantErr: "what came is not valid base64"},
		{name: "no user", token: encode("secret"), endpoint: "https://host", wantErr: "what came is not of the form user:password"},
		{name: "no password", token: encode("AWS:"), endpoint: "https://host", wantErr: "what came is not of the form user:password"},
		{name: "empty", endpoint: "https://host", wantErr: "what came is not of the form user:password"},
		{name: "no endpoint", token: encode("AWS:secret"), wantErr: "it came without a registry endpoint"},
	}
	for _, test := range tests {
		got, err := DecodeToken(test.token, test.endpoint)
		if err != nil && err.Error() != test.wantErr || err == nil && test.wantErr != "" {
			t.Errorf("%s: got %v, want %s", test.name, err, test.wantErr)
		}
		if got != test.want {
			t.Errorf("%s: got a token of %s for %s", test.name, got.Username, got.ServerAddress)
		}
	}
}

// TestRefusalsRenewATokenAtMostEveryTenMinutes simulates denied calls that began and ended at times after the first
// token.
func TestRefusalsRenewATokenAtMostEveryTenMinutes(t *testing.T) {
	type refusal struct {
		began, ended time.Duration
		fresh        bool
		fetches      int // by then
	}
	tests := []struct {
		name     string
		life     time.Duration
		refusals []refusal
	}{
		{"a token that ended before its time", 12 * time.Hour, []refusal{{time.Second, time.Minute, true, 2}}},
		{"calls that were under way together", 12 * time.Hour, []refusal{
			{time.Second, time.Minute, true, 2}, {2 * time.Second, 2 * time.Minute, true, 2}, {time.Minute, 30 * time.Minute, true, 2},
		}},
		{"what a policy denies", 12 * time.Hour, []refusal{
			{time.Second, 2 * time.Second, true, 2}, {3 * time.Second, 4 * time.Second, false, 2}, {5 * time.Minute, 6 * time.Minute, false, 2},
			{10 * time.Minute, 10*time.Minute + 2*time.Second, true, 3}, {11 * time.Minute, 12 * time.Minute, false, 3},
		}},
		{"tokens of a minute", time.Minute, []refusal{{time.Second, 2 * time.Second, true, 2}, {time.Minute, 63 * time.Second, true, 3}}},
		{"tokens without an end", -time.Hour, []refusal{
			{time.Second, 2 * time.Second, true, 2}, {time.Minute, 2 * time.Minute, false, 2}, {3 * time.Minute, 6 * time.Minute, true, 3},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			clock, fetches := start, 0
			cache := NewTokenCache(func(context.Context) (RegistryAuth, time.Time, error) {
				fetches++
				return RegistryAuth{Password: redact.Secret(fmt.Sprint("token ", fetches))}, clock.Add(test.life), nil
			}, func() time.Time { return clock })
			if _, err := cache.Get(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, r := range test.refusals {
				clock = start.Add(r.ended)
				fresh, err := cache.Renew(t.Context(), start.Add(r.began))
				if err != nil || fresh != r.fresh || fetches != r.fetches {
					t.Errorf("refused from %s to %s: fresh %t, %d fetches, %v; want %t, %d", r.began, r.ended, fresh, fetches, err, r.fresh, r.fetches)
				}
				auth, err := cache.Get(t.Context())
				if want := redact.Secret(fmt.Sprint("token ", fetches)); err != nil || auth.Password != want {
					t.Errorf("refused from %s to %s: got %q, %v, want %q", r.began, r.ended, string(auth.Password), err, string(want))
				}
			}
		})
	}
}

func TestRenewalThatFails(t *testing.T) {
	clock, broken := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), false
	cache := NewTokenCache(func(context.Context) (RegistryAuth, time.Time, error) {
		if broken {
			return RegistryAuth{}, time.Time{}, errors.New("broken")
		}
		return RegistryAuth{Password: "good"}, clock.Add(12 * time.Hour), nil
	}, func() time.Time { return clock })
	if _, err := cache.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	clock, broken = clock.Add(time.Minute), true
	if fresh, err := cache.Renew(t.Context(), clock); fresh || err == nil || err.Error() != "broken" {
		t.Errorf("fresh %t, %v", fresh, err)
	}
	broken = false
	if fresh, err := cache.Renew(t.Context(), clock); !fresh || err != nil { // no wait: none renewed yet
		t.Errorf("fresh %t, %v", fresh, err)
	}
}
