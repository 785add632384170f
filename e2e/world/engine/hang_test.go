package engine

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// startAndHang, if set, makes the test binary start an engine and wait to be killed.
const startAndHang = "ENGINE_TEST_START_AND_HANG"

func hang() {
	e, err := Start(context.Background(), Containerd, Options{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(e.Host)
	select {}
}

// startHanging returns the process when its engine is ready, and the engine's address.
func startHanging(t *testing.T) (parent *os.Process, host string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), startAndHang+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() }) //nolint:errcheck // fails when the test has killed it
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "unix://") {
		t.Fatalf("%q, %v", line, err)
	}
	return cmd.Process, strings.TrimSpace(line)
}

// descendants returns the process and all of its descendants.
func descendants(t *testing.T, pid int) []int {
	t.Helper()
	pids := []int{pid}
	children, err := filepath.Glob(procFile(pid, "task/*/children"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range children {
		list, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		for _, child := range strings.Fields(string(list)) {
			number, err := strconv.Atoi(child)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, descendants(t, number)...)
		}
	}
	return pids
}

func procFile(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}
