package docker

import (
	"strings"
	"testing"

	"github.com/docker/docker/api/types/system"
)

func TestIsClassic(t *testing.T) {
	for _, test := range []struct {
		status  [][2]string
		classic bool
	}{
		{nil, true},
		{[][2]string{{"Backing Filesystem", "extfs"}, {"Supports d_type", "true"}, {"Native Overlay Diff", "true"}}, true},
		{[][2]string{{"driver-type", "io.containerd.snapshotter.v1"}}, false},
		{[][2]string{{"Backing Filesystem", "extfs"}, {"driver-type", "io.containerd.snapshotter.v1"}}, false},
		{[][2]string{{"driver-type", "something else"}}, true},
	} {
		c := Connection{Info: system.Info{DriverStatus: test.status}}
		if c.IsClassic() != test.classic {
			t.Errorf("%v: classic %t", test.status, !test.classic)
		}
	}
}

func TestWhyClassic(t *testing.T) {
	containerd := [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}}
	for _, test := range []struct {
		name   string
		api    string
		status [][2]string
		driver string
		want   string // in the text; "": there is none
	}{
		{"29, the tutorial's variable", "1.52", nil, "overlay2", `add DOCKER_DRIVER: ""`},
		{"29, no variable", "1.52", nil, "", "--storage-driver"},
		{"29, the variable of another driver", "1.53", nil, "vfs", "--storage-driver"},
		{"29 with the containerd store", "1.52", containerd, "overlay2", ""},
		{"28", "1.51", nil, "overlay2", ""},
		{"20.10", "1.41", nil, "overlay2", ""},
	} {
		c := Connection{API: test.api, Info: system.Info{Driver: "overlay2", DriverStatus: test.status}}
		if got := c.WhyClassic(test.driver); (got != "") != (test.want != "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: got %q", test.name, got)
		}
	}
}
