package bench

import (
	"cmp"
	"fmt"
	"slices"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// eachRun calls row with the median run of each contender and phase.
func (r *Results) eachRun(network Network, kind engine.Kind, row func(label string, s Sample)) {
	for _, label := range labels() {
		for _, phase := range Phases() {
			if samples := r.of(network, kind, label[0], phase); len(samples) > 0 {
				row(r.label(network, label[0])+": "+phase.title(), typical(samples))
			}
		}
	}
}

// typical returns the run with the median time, so that what it says of one run adds up.
func typical(samples []Sample) Sample {
	sorted := slices.SortedFunc(slices.Values(samples), func(a, b Sample) int { return cmp.Compare(a.Seconds, b.Seconds) })
	return sorted[(len(sorted)-1)/2]
}

// requestTable has the number of requests to each server.
func (r *Results) requestTable(network Network, kind engine.Kind) string {
	head := []string{""}
	for _, server := range servers() {
		head = append(head, string(server))
	}
	var rows [][]string
	r.eachRun(network, kind, func(label string, s Sample) {
		row := []string{label}
		for _, server := range servers() {
			row = append(row, fmt.Sprint(s.asked(server)))
		}
		rows = append(rows, row)
	})
	return markdown(head, rows)
}

// shareTable has the shares of the machine's processor time.
func (r *Results) shareTable(network Network, kind engine.Kind) string {
	head := []string{"", "engine", "of it dockerd", "containerd", "own processes", "servers", "kernel", "rest", "together"}
	var rows [][]string
	r.eachRun(network, kind, func(label string, s Sample) {
		row := []string{label}
		c := s.CPU
		for _, seconds := range []float64{c.Engine(), c.Dockerd, c.Containerd, c.Own, c.Servers, c.Kernel, c.Rest(), c.Busy} {
			row = append(row, fmt.Sprintf("%.1f", seconds))
		}
		if !c.AddUp() {
			row[7] += " (does not add up)"
		}
		rows = append(rows, row)
	})
	return markdown(head, rows)
}

// detailTable has the number of requests of each kind.
func (r *Results) detailTable(network Network, kind engine.Kind) string {
	head, all := []string{"Server", "Request"}, map[request]int{}
	var runs []Sample
	r.eachRun(network, kind, func(label string, s Sample) {
		head, runs = append(head, label), append(runs, s)
		for kind, n := range s.Requests {
			all[kind] += n
		}
	})
	var rows [][]string
	for _, kind := range kinds(all) {
		row := []string{string(kind.server), kind.what}
		for _, s := range runs {
			row = append(row, fmt.Sprint(s.Requests[kind]))
		}
		rows = append(rows, row)
	}
	return markdown(head, rows)
}
