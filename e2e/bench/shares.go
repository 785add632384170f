package bench

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Shares divides the machine's processor time during a run, in seconds. Every process counts with the children that it has
// waited for.
type Shares struct {
	Busy       float64 // of all processors, including other programs
	Dockerd    float64 // without containerd, unless that is part of it
	Containerd float64
	Own        float64 // the contender's own processes
	Servers    float64 // this process: the registries, the other stand-ins, TLS, and measuring
	Kernel     float64 // its threads, which write to the engine's disk and deliver packets
}

// Engine returns the engine's share.
func (s Shares) Engine() float64 { return s.Dockerd + s.Containerd }

// Rest returns what none of the shares explains: other programs on the machine, or a mistake.
func (s Shares) Rest() float64 {
	return s.Busy - s.Engine() - s.Own - s.Servers - s.Kernel
}

// Shares add up if the rest is at most a tenth of the busy time. Clocks that tick 100 times a second allow for no less than
// restOfShort, in seconds.
const (
	restOfBusy  = 0.1
	restOfShort = 0.5
)

// AddUp reports whether the shares explain the machine's processor time.
func (s Shares) AddUp() bool {
	return max(s.Rest(), -s.Rest()) <= max(restOfBusy*s.Busy, restOfShort)
}

// String lists the shares.
func (s Shares) String() string {
	text := fmt.Sprintf("CPU: dockerd %.1f + containerd %.1f + own %.1f + servers %.1f + kernel %.1f + rest %.1f = %.1f s",
		s.Dockerd, s.Containerd, s.Own, s.Servers, s.Kernel, s.Rest(), s.Busy)
	if !s.AddUp() {
		text += " (does not add up: the machine did something else)"
	}
	return text
}

// clocks are processor times since some time in the past.
type clocks struct {
	busy, dockerd, containerd, servers time.Duration

	kernel map[int]time.Duration // of each of its threads, which end when they have not been used for minutes
}

// readClocks reads them. engine is the process ID of dockerd; 0: there is none.
func readClocks(engine int) (c clocks, err error) {
	if c.busy, err = busyTime(time.Since(programStart)); err != nil {
		return c, err
	}
	processes, err := readProcesses()
	if err != nil {
		return c, err
	}
	if engine != 0 {
		if _, ok := processes[engine]; !ok {
			return c, fmt.Errorf("no process %d", engine)
		}
		for _, p := range processes {
			if p.name == "containerd" && processes[p.parent].pid == engine {
				c.containerd = sumTree(processes, p.pid)
			}
		}
		c.dockerd = sumTree(processes, engine) - c.containerd
	}
	c.kernel = map[int]time.Duration{}
	for _, p := range processes {
		if p.parent == kthreadd {
			c.kernel[p.pid] = p.cpu
		}
	}
	c.servers, err = ownTime()
	return c, err
}

// kthreadd is the process ID of the kernel's first thread, the parent of the others.
const kthreadd = 2

var programStart = time.Now()

// ownTime returns the processor time of this process, without its children.
func ownTime() (time.Duration, error) {
	var usage syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), err
}

// busyTime returns the processors' time, of which now is the age, that they were neither idle nor taken by other virtual
// machines. Unlike the busy time in /proc/stat, the idle time there is no estimate from samples.
func busyTime(now time.Duration) (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	idle, err := parseIdle(string(stat))
	return now*time.Duration(runtime.NumCPU()) - idle, err
}

// parseIdle returns idle, iowait and steal, fields 4, 5 and 8 of the first line of /proc/stat.
func parseIdle(stat string) (idle time.Duration, err error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("not understood: %q", line)
	}
	for _, i := range []int{4, 5, 8} {
		ticks, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, err
		}
		idle += time.Duration(ticks) * tick
	}
	return idle, nil
}

// during returns the shares of a run between two readings. own is the processor time of the contender's processes.
func during(before, after clocks, own time.Duration) Shares {
	return Shares{
		Busy:       (after.busy - before.busy).Seconds(),
		Dockerd:    (after.dockerd - before.dockerd).Seconds(),
		Containerd: (after.containerd - before.containerd).Seconds(),
		Own:        own.Seconds(),
		Servers:    (after.servers - before.servers).Seconds(),
		Kernel:     added(before.kernel, after.kernel).Seconds(),
	}
}

// added returns the time of the threads since the earlier reading.
func added(before, after map[int]time.Duration) (sum time.Duration) {
	for pid, now := range after {
		if earlier := before[pid]; earlier <= now {
			now -= earlier
		} // else a new thread has the number
		sum += now
	}
	return sum
}
