package faults

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Unavailable answers a share of all requests with 503, up to times requests. The choice is random, but the same in
// every run: it depends on the seed, on the request, and on how often it has been made before.
func Unavailable(share float64, times int, seed uint64) *Fault {
	return answerShare(Any, share, times, seed, func(w http.ResponseWriter, r *http.Request) {
		if BucketRead(r) {
			writeS3Error(w, http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
			return
		}
		writeError(w, http.StatusServiceUnavailable, "UNAVAILABLE", "service unavailable")
	})
}

// Gateway answers a share of all requests with the page of a proxy in front of the registry that cannot reach it, and with
// each of Cloudflare's statuses in turn, up to times requests, chosen as in Unavailable.
func Gateway(share float64, times int, seed uint64) *Fault {
	statuses := []int{520, 521, 522, 523, 524, 525, 526}
	var answered atomic.Int64
	return answerShare(Any, share, times, seed, func(w http.ResponseWriter, _ *http.Request) {
		status := statuses[int(answered.Add(1)-1)%len(statuses)]
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<!DOCTYPE html>\n<html><head><title>gitlab.example | %d</title></head><body>Error code %d</body></html>\n", status, status)
	})
}

// Throttled answers a share of the ECR API calls with a throttling error, chosen as in Unavailable.
func Throttled(share float64, times int, seed uint64) *Fault {
	return answerShare(ECRCall, share, times, seed, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"__type": "ThrottlingException", "message": "Rate exceeded"}`)
	})
}

func answerShare(concerns Match, share float64, times int, seed uint64, answer func(http.ResponseWriter, *http.Request)) *Fault {
	f := &Fault{concerns: concerns}
	lots, strikes := lots{seed: seed}, f.atMost(times)
	f.serve = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if lots.draw(r) < share && strikes() {
			answer(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}
	return f
}

// TooMany simulates a rate limit. It answers all requests to a registry beyond the first so many of a period with 429, and the
// rest of that period as Retry-After. GitLab.com allows 2,000 requests a minute from an address
// (https://docs.gitlab.com/user/gitlab_com/#gitlabcom-specific-rate-limits).
func TooMany(allowed int, period time.Duration) *Fault {
	f := &Fault{concerns: Registry}
	var mu sync.Mutex
	var seen int
	var until time.Time
	excess := func() (rest time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if !now.Before(until) {
			seen, until = 0, now.Add(period)
		}
		if seen++; seen <= allowed {
			return 0
		}
		return until.Sub(now)
	}
	f.serve = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rest := excess()
		if rest <= 0 {
			next.ServeHTTP(w, r)
			return
		}
		f.struck.Add(1)
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(rest.Seconds()))))
		writeError(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "rate limit exceeded")
	}
	return f
}

// Bucket answers the first reads from the bucket with an S3 error, such as 500 InternalError.
func Bucket(status int, code, message string, times int) *Fault {
	f := &Fault{concerns: BucketRead}
	strikes := f.atMost(times)
	f.serve = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strikes() {
			writeS3Error(w, status, code, message)
			return
		}
		next.ServeHTTP(w, r)
	}
	return f
}

// Answered is not a fault: it counts matching requests that the registry itself answers with the status.
func Answered(concerns Match, status int) *Fault {
	f := &Fault{concerns: concerns}
	f.serve = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(&statusWriter{w, func(answered int) {
			if answered == status {
				f.struck.Add(1)
			}
		}}, r)
	}
	return f
}

// statusWriter reports the status that is written.
type statusWriter struct {
	http.ResponseWriter
	tell func(status int)
}

// Unwrap gives http.ResponseController the connection behind it.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader is not called by handlers that mean 200.
func (w *statusWriter) WriteHeader(status int) {
	w.tell(status)
	w.ResponseWriter.WriteHeader(status)
}

// writeError writes a registry's error response.
func writeError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{ //nolint:errcheck // the client is gone
		"errors": []map[string]string{{"code": code, "message": message}},
	})
}

// writeS3Error writes an S3 error response.
func writeS3Error(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
}

// lots draws random numbers for requests.
type lots struct {
	seed uint64

	mu   sync.Mutex
	seen map[string]int
}

// draw returns a number from 0 to 1. It ignores the IDs of uploads, which differ in every run.
func (l *lots) draw(r *http.Request) float64 {
	path, _, _ := strings.Cut(r.URL.Path, "/uploads/")
	what := strings.Join([]string{r.Method, path, r.Header.Get("X-Amz-Target")}, " ")
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[string]int{}
	}
	l.seen[what]++
	sum := sha256.Sum256(fmt.Append(nil, l.seed, l.seen[what], what))
	return float64(binary.BigEndian.Uint64(sum[:])) / math.MaxUint64
}
