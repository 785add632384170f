package bench

import (
	"fmt"
	"math"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// target is one of the program's own targets. Judge returns what was measured and whether it meets the target; measured
// is empty if that is unknown.
type target struct {
	what, want string
	judge      func(r *Results) (measured string, reached bool)
}

// targets are those of the containerd store unless they say otherwise.
func targets() []target {
	return []target{
		speed(usual, engine.Containerd, First, "≥ 5", atLeast(5), nameScript),
		speed(usual, engine.Containerd, First, "> 1", ahead, nameRegsync),
		speed(slow, engine.Containerd, First, "≥ 1.4", atLeast(1.4), nameRegsync),
		overLink(slow, 1.2),
		speed(usual, engine.Containerd, Again, "> 1", ahead, nameRegsync),
		engineTime(nameOurs, 17), engineTime(nameEmbedded, 12),
		bytesOnce(usual), bytesOnce(slow),
		speed(usual, engine.Classic, First, "≥ 3", atLeast(3), nameScript),
		{"peak memory, the account", "≤ 64 MiB", judgeMemory},
		diskWithin(usual), diskTime(usual),
		{fmt.Sprintf("peak memory, %d tags in %d repositories", scaleTags, scaleRepositories), "≤ 128 MiB", judgeScaleMemory},
		{"the same, planned within", "≤ 10 s", judgeScalePlan},
	}
}

func atLeast(factor float64) func(float64) bool {
	return func(ratio float64) bool { return ratio >= factor }
}

func ahead(ratio float64) bool { return ratio > 1 }

// speed returns how many times as long the rival takes.
func speed(network Network, kind engine.Kind, phase Phase, want string, enough func(float64) bool, rival string) target {
	what := fmt.Sprintf("%s, %s, %s store: times as fast as %s", phase.title(), network, kind, rival)
	return target{what, want, func(r *Results) (string, bool) {
		own, theirs := r.seconds(network, kind, nameOurs, phase), r.seconds(network, kind, rival, phase)
		if own == 0 || theirs == 0 {
			return "", false
		}
		return fmt.Sprintf("%.2f", theirs/own), enough(theirs / own)
	}}
}

// overLink judges the time by what the network itself takes for the unique bytes.
func overLink(network Network, limit float64) target {
	what := fmt.Sprintf("first run, %s, containerd store: time over that of the link itself", network)
	return target{what, fmt.Sprintf("≤ %g", limit), func(r *Results) (string, bool) {
		own, link := r.seconds(network, engine.Containerd, nameOurs, First), network.seconds(r.UniqueBytes)
		if own == 0 || link == 0 {
			return "", false
		}
		return fmt.Sprintf("%.2f", own/link), own/link <= limit
	}}
}

// engineTime judges the median processor time of the engine, in seconds.
func engineTime(contender string, limit float64) target {
	what := fmt.Sprintf("first run, %s, containerd store, %s: the engine's processor time", usual, contender)
	return target{what, fmt.Sprintf("≤ %g s", limit), func(r *Results) (string, bool) {
		samples := r.of(usual, engine.Containerd, contender, First)
		if len(samples) == 0 {
			return "", false
		}
		seconds := median(samples, func(s Sample) float64 { return s.CPU.Engine() })
		return fmt.Sprintf("%.1f s", seconds), seconds <= limit
	}}
}

// bytesOnce returns the larger of the two ratios of a first run, to two decimals.
func bytesOnce(network Network) target {
	what := fmt.Sprintf("first run, %s, containerd store: bytes out of ECR, and into GitLab, over unique bytes", network)
	return target{what, "1.00", func(r *Results) (string, bool) {
		samples := r.of(network, engine.Containerd, nameOurs, First)
		if len(samples) == 0 {
			return "", false
		}
		out, in := hundredths(median(samples, Sample.ratioOut)), hundredths(median(samples, Sample.ratioIn))
		return fmt.Sprintf("%.2f, %.2f", out, in), min(out, in) >= 1 && max(out, in) <= 1
	}}
}

func hundredths(x float64) float64 { return math.Round(x*100) / 100 }

// diskWithin returns the largest peak of all rounds.
func diskWithin(network Network) target {
	what := fmt.Sprintf("first run, %s, with a disk budget of a quarter of the unpacked account: peak", network)
	return target{what, "≤ the budget", func(r *Results) (string, bool) {
		samples := r.of(network, engine.Containerd, nameDisk, First)
		if len(samples) == 0 {
			return "", false
		}
		peak := most(samples, func(s Sample) int64 { return s.PeakDisk })
		return fmt.Sprintf("%d of %d MB", peak/1e6, r.DiskBudget/1e6), peak <= r.DiskBudget
	}}
}

func diskTime(network Network) target {
	what := fmt.Sprintf("first run, %s, with that disk budget: time over that without", network)
	return target{what, "≤ 1.2", func(r *Results) (string, bool) {
		with := r.seconds(network, engine.Containerd, nameDisk, First)
		without := r.seconds(network, engine.Containerd, nameOurs, First)
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
	return mebibytes(most(r.Scale, func(s ScaleSample) int64 { return s.PeakMemory }), 128)
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
	return fmt.Sprintf("%.1f s", seconds), seconds <= 10
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
