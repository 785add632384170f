package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Machine describes where and when measurements were taken.
type Machine struct {
	Date      time.Time
	Processor string
	Count     int // of processors
	Memory    int64
	Kernel    string
	Go        string
	AWSCLI    string // empty: not installed
}

func describeMachine(ctx context.Context) (m Machine, err error) {
	m = Machine{Date: time.Now().UTC(), Count: runtime.NumCPU(), Go: runtime.Version()}
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m, err
	}
	if m.Processor, err = field(string(cpu), "model name"); err != nil {
		m.Processor = runtime.GOARCH // arm64 does not report a name
	}
	memory, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return m, err
	}
	total, err := field(string(memory), "MemTotal")
	if err != nil {
		return m, err
	}
	kib, err := strconv.ParseInt(strings.TrimSuffix(total, " kB"), 10, 64)
	if err != nil {
		return m, err
	}
	m.Memory = kib << 10
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	m.Kernel = strings.TrimSpace(string(release))
	if version, err := exec.CommandContext(ctx, "aws", "--version").Output(); err == nil {
		m.AWSCLI, _, _ = strings.Cut(strings.TrimSpace(string(version)), " ")
	}
	return m, err
}

// String returns a one-line description.
func (m Machine) String() string {
	return fmt.Sprintf("%s, %d × %s, %.0f GiB of memory, Linux %s, %s, %s",
		m.Date.Format("2006-01-02 15:04 UTC"), m.Count, m.Processor, float64(m.Memory)/(1<<30), m.Kernel, m.Go, m.AWSCLI)
}
