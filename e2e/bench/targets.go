package bench

import (
	"fmt"
	"math"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// target is one of the program's own targets. Judge returns what was measured and whether it meets the target; measured
// is empty if that is unknown.
type target struct {
	what, want string
	judge      func(r *Results) (measured string, reached bool)
}

const (
	slow    = 30 * time.Millisecond
	instant = time.Duration(0)
)

func targets() []target {
	return []target{
		speed(slow, engine.Containerd, First, "≥ 5", atLeast(5), nameScript),
		speed(instant, engine.Containerd, First, "≥ 2.5", atLeast(2.5), nameScript),
		speed(slow, engine.Classic, First, "≥ 4", atLeast(4), nameScript),
		speed(instant, engine.Classic, First, "≥ 2", atLeast(2), nameScript),
		speed(slow, engine.Containerd, First, "> 1", ahead, nameCrane, nameRegsync),
		speed(slow, engine.Containerd, Again, "≥ 40", atLeast(40), nameScript),
		speed(instant, engine.Containerd, Again, "≥ 20", atLeast(20), nameScript),
		speed(slow, engine.Containerd, Again, "> 1", ahead, nameRegsync),
		bytesOnce(slow), bytesOnce(instant),
		diskWithin(slow), diskWithin(instant),
		diskTime(slow), diskTime(instant),
		{"peak memory, the account", "≤ 64 MiB", judgeMemory},
		{fmt.Sprintf("peak memory, %d tags in %d repositories", scaleTags, scaleRepositories), "≤ 200 MiB", judgeScaleMemory},
		{"the same, planned within", "≤ 15 s", judgeScalePlan},
	}
}

func atLeast(factor float64) func(float64) bool {
	return func(ratio float64) bool { return ratio >= factor }
}

func ahead(ratio float64) bool { return ratio > 1 }

// speed returns how many times as long the fastest of the rivals takes.
func speed(latency time.Duration, kind engine.Kind, phase Phase, want string, enough func(float64) bool, rivals ...string) target {
	what := fmt.Sprintf("%s, %s, %s store: times as fast as %s", phase.title(), latencyName(latency), kind, rivalNames(rivals))
	return target{what, want, func(r *Results) (string, bool) {
		own := r.seconds(latency, kind, nameOurs, phase)
		quickest := 0.0
		for _, rival := range rivals {
			theirs := r.seconds(latency, kind, rival, phase)
			if own == 0 || theirs == 0 {
				return "", false
			}
			if quickest == 0 || theirs < quickest {
				quickest = theirs
			}
		}
		return fmt.Sprintf("%.2f", quickest/own), enough(quickest / own)
	}}
}

func rivalNames(rivals []string) string {
	if len(rivals) == 1 {
		return "the " + rivals[0]
	}
	return "the better of " + rivals[0] + " and " + rivals[1]
}

// bytesOnce returns the larger of the two ratios of a first run, to two decimals.
func bytesOnce(latency time.Duration) target {
	what := fmt.Sprintf("first run, %s, containerd store: bytes out of ECR, and into GitLab, over unique bytes", latencyName(latency))
	return target{what, "1.00 to 1.02", func(r *Results) (string, bool) {
		samples := r.of(latency, engine.Containerd, nameOurs, First)
		if len(samples) == 0 {
			return "", false
		}
		out, in := hundredths(median(samples, Sample.ratioOut)), hundredths(median(samples, Sample.ratioIn))
		return fmt.Sprintf("%.2f, %.2f", out, in), min(out, in) >= 1 && max(out, in) <= 1.02
	}}
}

func hundredths(x float64) float64 { return math.Round(x*100) / 100 }

// diskWithin returns the largest peak of all rounds.
func diskWithin(latency time.Duration) target {
	what := fmt.Sprintf("first run, %s, with a disk budget of a quarter of the unpacked account: peak", latencyName(latency))
	return target{what, "≤ the budget", func(r *Results) (string, bool) {
		samples := r.of(latency, engine.Containerd, nameDisk, First)
		if len(samples) == 0 {
			return "", false
		}
		peak := most(samples, func(s Sample) int64 { return s.PeakDisk })
		return fmt.Sprintf("%d of %d MB", peak/1e6, r.DiskBudget/1e6), peak <= r.DiskBudget
	}}
}

func diskTime(latency time.Duration) target {
	what := fmt.Sprintf("first run, %s, with that disk budget: time over that without", latencyName(latency))
	return target{what, "≤ 1.2", func(r *Results) (string, bool) {
		with := r.seconds(latency, engine.Containerd, nameDisk, First)
		without := r.seconds(latency, engine.Containerd, nameOurs, First)
		if with == 0 || without == 0 {
			return "", false
		}
		return fmt.Sprintf("%.2f", with/without), with/without <= 1.2
	}}
}

func judgeMemory(r *Results) (string, bool) {
	var peak int64
	for key, samples := range r.samples {
		if key.Contender == nameOurs || key.Contender == nameDisk {
			peak = max(peak, most(samples, func(s Sample) int64 { return s.PeakMemory }))
		}
	}
	return mebibytes(peak, 64)
}

func judgeScaleMemory(r *Results) (string, bool) {
	return mebibytes(most(r.Scale, func(s ScaleSample) int64 { return s.PeakMemory }), 200)
}

func mebibytes(n int64, limit float64) (string, bool) {
	if n == 0 {
		return "", false
	}
	mebibytes := float64(n) / (1 << 20)
	return fmt.Sprintf("%.0f MiB", mebibytes), mebibytes <= limit
}

func judgeScalePlan(r *Results) (string, bool) {
	if len(r.Scale) == 0 {
		return "", false
	}
	for _, sample := range r.Scale {
		if sample.Planned == 0 {
			return "it never said so", false
		}
	}
	seconds := median(r.Scale, func(s ScaleSample) float64 { return s.Planned })
	return fmt.Sprintf("%.1f s", seconds), seconds <= 15
}

// targetTable lists the targets that were measured.
func (r *Results) targetTable() string {
	var rows [][]string
	for _, t := range targets() {
		measured, reached := t.judge(r)
		if measured == "" {
			continue
		}
		rows = append(rows, []string{t.what, t.want, measured, map[bool]string{true: "yes", false: "no"}[reached]})
	}
	if len(rows) == 0 {
		return ""
	}
	return "\n" + markdown([]string{"to reach", "", "measured", "reached"}, rows)
}
