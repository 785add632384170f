package bench

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// Sample is the result of one run.
type Sample struct {
	Seconds    float64
	BytesOut   int64 // of blobs, from ECR
	BytesIn    int64 // of blobs, to GitLab
	Requests   map[request]int
	CPU        Shares
	PeakDisk   int64 // of the engine, in bytes
	PeakMemory int64 // of a contender with one process, in bytes; 0: it has several

	UniqueBytes int64 // that the phase has to copy
}

func (s Sample) ratioOut() float64 { return float64(s.BytesOut) / float64(s.UniqueBytes) }
func (s Sample) ratioIn() float64  { return float64(s.BytesIn) / float64(s.UniqueBytes) }

// String returns a line of progress.
func (s Sample) String() string {
	return fmt.Sprintf("%.1f s, out of ECR %.2f, into GitLab %.2f, peak disk %d MB, peak memory %d MiB; requests: %s; %s",
		s.Seconds, s.ratioOut(), s.ratioIn(), s.PeakDisk/1e6, s.PeakMemory>>20, s.requestCounts(), s.CPU)
}

// asked returns the number of requests to a server.
func (s Sample) asked(server Server) (n int) {
	for kind, times := range s.Requests {
		if kind.server == server {
			n += times
		}
	}
	return n
}

func (s Sample) requestCounts() string {
	var counts []string
	for _, server := range servers() {
		counts = append(counts, fmt.Sprintf("%s %d", server, s.asked(server)))
	}
	return strings.Join(counts, ", ")
}

// Key identifies what samples measure.
type Key struct {
	Network   Network
	Kind      engine.Kind // empty: no engine
	Contender string
	Parallel  int // for daemonless tools
	Phase     Phase
}

// Results holds everything that was measured.
type Results struct {
	Rounds      int
	Tags        int
	UniqueBytes int64 // of the account's blobs, each counted once
	DiskBudget  int64 // bytes; 0: not measured
	Machine     Machine
	Engines     map[engine.Kind]string // versions
	Scale       []ScaleSample

	details bool // lists requests of each kind
	samples map[Key][]Sample
}

func newResults() *Results {
	return &Results{Engines: map[engine.Kind]string{}, samples: map[Key][]Sample{}}
}

func (r *Results) add(key Key, sample Sample) { r.samples[key] = append(r.samples[key], sample) }

// best returns the parallelism of a daemonless tool's fastest first run in the first round; 0: there was none.
func (r *Results) best(network Network, tool string) (parallel int) {
	quickest := 0.0
	for key, samples := range r.samples {
		if key != (Key{network, "", tool, key.Parallel, First}) || key.Parallel == 0 {
			continue
		}
		seconds := samples[0].Seconds
		if parallel == 0 || seconds < quickest || seconds == quickest && key.Parallel < parallel {
			parallel, quickest = key.Parallel, seconds
		}
	}
	return parallel
}

// of returns the samples of a contender; for a daemonless tool, those with its best parallelism.
func (r *Results) of(network Network, kind engine.Kind, contender string, phase Phase) []Sample {
	if contender == nameCrane || contender == nameRegsync {
		return r.samples[Key{network, "", contender, r.best(network, contender), phase}]
	}
	return r.samples[Key{network, kind, contender, 0, phase}]
}

// seconds returns the median; 0: not measured.
func (r *Results) seconds(network Network, kind engine.Kind, contender string, phase Phase) float64 {
	return median(r.of(network, kind, contender, phase), func(s Sample) float64 { return s.Seconds })
}

// median returns the median of value over the items; 0 if there are none.
func median[T any](items []T, value func(T) float64) float64 {
	if len(items) == 0 {
		return 0
	}
	values := make([]float64, len(items))
	for i, item := range items {
		values[i] = value(item)
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 0 {
		return (values[middle-1] + values[middle]) / 2
	}
	return values[middle]
}

// most returns the maximum of value over the items; 0 if there are none.
func most[T any, N cmp.Ordered](items []T, value func(T) N) (largest N) {
	for i, item := range items {
		if v := value(item); i == 0 || v > largest {
			largest = v
		}
	}
	return largest
}
