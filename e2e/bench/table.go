package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// title is the phase's title in a table header.
func (p Phase) title() string {
	return map[Phase]string{First: "first run", Again: "run again", Added: "one new tag in each repository"}[p]
}

// labels are the contenders' names in tables, in order.
func labels() [][2]string {
	return [][2]string{
		{nameScript, "the tutorial's script"},
		{nameScript8, "eight of its loops at once"},
		{nameOurs, "ecr2gitlab"},
		{nameDisk, "ecr2gitlab with a disk budget"},
		{nameCrane, "crane (no engine)"},
		{nameRegsync, "regsync (no engine)"},
	}
}

// Markdown returns all tables.
func (r *Results) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d tags, %.0f MB in blobs, each counted once. %s.", r.Tags, float64(r.UniqueBytes)/1e6, r.Machine)
	for _, kind := range engine.Kinds() {
		if version := r.Engines[kind]; version != "" {
			fmt.Fprintf(&b, " Engine with the %s store: %s.", kind, version)
		}
	}
	fmt.Fprintf(&b, "\n\n%s\n", r.notes())
	for _, latency := range r.latencies() {
		for _, kind := range r.kinds(latency) {
			b.WriteString(r.table(latency, kind))
		}
	}
	b.WriteString(r.targetTable())
	return b.String()
}

// notes explain the tables, and the differences between the contenders.
func (r *Results) notes() string {
	return fmt.Sprintf("Medians of %d rounds. In brackets: how many times as long the script takes. "+
		"Out of ECR and into GitLab: bytes of blobs over those of the first run's unique blobs, or of what the new tags add. "+
		"Processor time, disk and memory are those of the first run. "+
		"The script and ecr2gitlab have their engines started as the job in their own documentation does, ecr2gitlab's with `%s`. "+
		"Crane and regsync are told the tags; theirs is the best of 4, 8 and 16 at once, by the first run of the first round.",
		r.Rounds, strings.Join(shippedArgs(), " "))
}

// latencies returns the measured latencies, the longest first.
func (r *Results) latencies() []time.Duration {
	var list []time.Duration
	for key := range r.samples {
		if !slices.Contains(list, key.Latency) {
			list = append(list, key.Latency)
		}
	}
	slices.SortFunc(list, func(a, b time.Duration) int { return int(b - a) })
	return list
}

// kinds returns the kinds of engines that were measured, or the empty kind if there were only daemonless tools.
func (r *Results) kinds(latency time.Duration) []engine.Kind {
	measured := map[engine.Kind]bool{}
	for key := range r.samples {
		measured[key.Kind] = measured[key.Kind] || key.Latency == latency
	}
	kinds := slices.DeleteFunc(engine.Kinds(), func(kind engine.Kind) bool { return !measured[kind] })
	if len(kinds) == 0 {
		return []engine.Kind{""}
	}
	return kinds
}

var columns = []string{
	"", First.title(), Again.title(), "one new tag each", "out of ECR: first", "new", "into GitLab: first", "new",
	"engine CPU", "own CPU", "peak disk", "peak memory",
}

// table has a row for each contender that was measured with that kind of engine, or without one.
func (r *Results) table(latency time.Duration, kind engine.Kind) string {
	var rows [][]string
	for _, label := range labels() {
		if len(r.of(latency, kind, label[0], First)) > 0 {
			rows = append(rows, r.row(latency, kind, label[0], label[1]))
		}
	}
	title := roundTrip(latency)
	if kind != "" {
		title += fmt.Sprintf(", %s store", kind)
	}
	return fmt.Sprintf("\n%s:\n\n%s", title, markdown(columns, rows))
}

// roundTrip formats a latency for a title.
func roundTrip(latency time.Duration) string {
	if latency == 0 {
		return "Without latency"
	}
	return fmt.Sprintf("Round trip of %d ms", latency.Milliseconds())
}

func (r *Results) row(latency time.Duration, kind engine.Kind, contender, label string) []string {
	if parallel := r.best(latency, contender); parallel > 0 {
		label = fmt.Sprintf("%s, %d at once", label, parallel)
	}
	row := []string{label}
	for _, phase := range Phases() {
		row = append(row, r.secondsCell(latency, kind, contender, phase))
	}
	first, added := r.of(latency, kind, contender, First), r.of(latency, kind, contender, Added)
	return append(row,
		cell(first, "%.2f", Sample.ratioOut), cell(added, "%.2f", Sample.ratioOut),
		cell(first, "%.2f", Sample.ratioIn), cell(added, "%.2f", Sample.ratioIn),
		cell(first, "%.1f s", func(s Sample) float64 { return s.EngineCPU }),
		cell(first, "%.1f s", func(s Sample) float64 { return s.OwnCPU }),
		cell(first, "%.0f MB", func(s Sample) float64 { return float64(s.PeakDisk) / 1e6 }),
		cell(first, "%.0f MiB", func(s Sample) float64 { return float64(s.PeakMemory) / (1 << 20) }),
	)
}

// secondsCell has the median and, except for the script, how many times as long the script takes.
func (r *Results) secondsCell(latency time.Duration, kind engine.Kind, contender string, phase Phase) string {
	own, script := r.seconds(latency, kind, contender, phase), r.seconds(latency, kind, nameScript, phase)
	switch {
	case own == 0:
		return "–"
	case script == 0 || contender == nameScript:
		return fmt.Sprintf("%.1f s", own)
	}
	return fmt.Sprintf("%.1f s (%.1f×)", own, script/own)
}

// cell has the median, or a dash if there is none.
func cell(samples []Sample, format string, value func(Sample) float64) string {
	m := median(samples, value)
	if m == 0 && !strings.HasPrefix(format, "%.2f") || len(samples) == 0 {
		return "–"
	}
	return fmt.Sprintf(format, m)
}

// markdown returns a table, with the first column left-aligned and the others right-aligned.
func markdown(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	b.WriteString("|---|" + strings.Repeat("--:|", len(head)-1) + "\n")
	for _, row := range rows {
		line(row)
	}
	return b.String()
}
