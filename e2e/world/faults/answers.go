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
	"time"
)

// Unavailable answers a share of all requests with 503, until it has struck so many times. It is at random, but the same
// in every run: it depends on the seed, on what is asked for, and on how often that was asked for before.
func Unavailable(share float64, times int, seed uint64) *Fault {
	return answerShare(Any, share, times, seed, func(w http.ResponseWriter, r *http.Request) {
		if BucketRead(r) {
			writeS3Error(w, http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
			return
		}
		writeError(w, http.StatusServiceUnavailable, "UNAVAILABLE", "service unavailable")
	})
}

// Throttled answers a share of the calls of ECR's API as ECR does at its limits, chosen as Unavailable chooses.
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

// TooMany lets so many requests to a registry pass, and answers all that come within a while after those with 429 and
// the rest of that while as Retry-After, as a limit a minute does.
func TooMany(allowed int, pause time.Duration) *Fault {
	f := &Fault{concerns: Registry}
	var mu sync.Mutex
	var seen int
	var until time.Time
	wait := func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		if seen++; seen == allowed+1 {
			until = time.Now().Add(pause)
		}
		return time.Until(until)
	}
	f.serve = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rest := wait()
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

// Bucket answers the first reads at the bucket with one of S3's own failures, such as 500 InternalError.
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

// Answered is no fault: it counts those of the requests that the registry itself answers with the status.
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

// statusWriter tells of a status that is written.
type statusWriter struct {
	http.ResponseWriter
	tell func(status int)
}

// Unwrap gives http.ResponseController the connection behind it.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader is not called by those who mean 200.
func (w *statusWriter) WriteHeader(status int) {
	w.tell(status)
	w.ResponseWriter.WriteHeader(status)
}

// writeError answers as a registry does.
func writeError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{ //nolint:errcheck // the client is gone
		"errors": []map[string]string{{"code": code, "message": message}},
	})
}

// writeS3Error answers as S3 does.
func writeS3Error(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
}

// lots are drawn for requests.
type lots struct {
	seed uint64

	mu   sync.Mutex
	seen map[string]int
}

// draw returns a number from 0 to 1. Uploads have names that are new in every run, which are left out.
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
