package transfer

import (
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// The platform for which an index is pulled is one that it lists.
func TestFirstPlatform(t *testing.T) {
	arm := &ocispec.Platform{OS: "linux", Architecture: "arm64"}
	first, second := testkit.Image(t, "1").Descriptor, testkit.Image(t, "2").Descriptor
	second.Platform = arm
	for _, test := range []struct {
		children []ocispec.Descriptor
		want     ocispec.Platform
	}{
		{[]ocispec.Descriptor{first, second}, *arm},
		{[]ocispec.Descriptor{first}, ocispec.Platform{}},
	} {
		if got := firstPlatform(image.NewTree(testkit.Index(t, test.children...), nil)); got.Architecture != test.want.Architecture {
			t.Errorf("platform %+v, want %+v", got, test.want)
		}
	}
}
