package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of processor time in /proc: 1/USER_HZ, the same on every Linux.
const tick = 10 * time.Millisecond

// process is a line of /proc/PID/stat.
type process struct {
	pid, parent int
	name        string
	cpu         time.Duration // including that of the children it has waited for
}

// readProcesses returns all processes by their IDs.
func readProcesses() (map[int]process, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	processes := map[int]process{}
	for _, stat := range stats {
		line, err := os.ReadFile(stat)
		if err != nil {
			continue // it has just ended
		}
		p, err := parseStat(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", stat, err)
		}
		processes[p.pid] = p
	}
	return processes, nil
}

// sumTree adds up the times of root and its descendants, including those that have ended.
func sumTree(processes map[int]process, root int) (sum time.Duration) {
	for _, p := range processes {
		for pid := p.pid; pid != 0; pid = processes[pid].parent {
			if pid == root {
				sum += p.cpu
				break
			}
		}
	}
	return sum
}

// parseStat parses PID (NAME) STATE PPID …, where NAME may contain any characters. utime to cstime are fields 14 to 17.
func parseStat(line []byte) (p process, err error) {
	end := bytes.LastIndexByte(line, ')')
	fields := strings.Fields(string(line[end+1:]))
	if end < 0 || len(fields) < 15 {
		return p, fmt.Errorf("not understood: %q", line)
	}
	number, name, _ := strings.Cut(string(line[:end]), " (")
	p.name = name
	if p.pid, err = strconv.Atoi(number); err != nil {
		return p, err
	}
	if p.parent, err = strconv.Atoi(fields[1]); err != nil {
		return p, err
	}
	for _, field := range fields[11:15] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return p, err
		}
		p.cpu += time.Duration(ticks) * tick
	}
	return p, nil
}

// peakMemory returns the peak memory of a process so far, in bytes.
func peakMemory(pid int) (int64, error) {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, err
	}
	kib, err := field(string(status), "VmHWM")
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(kib, " kB"), 10, 64)
	return n << 10, err
}

// field returns the value after "name:" in a file with such lines.
func field(text, name string) (string, error) {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("no %s in it", name)
}
