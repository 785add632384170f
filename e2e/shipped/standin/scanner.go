package standin

import (
	"context"
	"fmt"
)

// scanner is the image that BuildKit uses to find the packages in a build's result.
const scanner = "docker/buildkit-syft-scanner:stable-1"

// MakeScanner creates a stand-in for it that finds no packages.
func (m Maker) MakeScanner(ctx context.Context) error {
	from := &image{
		fill: func(ctx context.Context, t *tree) error {
			if err := m.fillAlpine(ctx, t); err != nil {
				return err
			}
			return t.text("sbom.spdx.json", `{"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://spdx.dev/Document", `+
				`"subject": [], "predicate": {"spdxVersion": "SPDX-2.3", "packages": []}}`)
		},
		changes: []string{`ENTRYPOINT ["sh", "-c", "cp /sbom.spdx.json \"$BUILDKIT_SCAN_DESTINATION\""]`},
	}
	if err := m.build(ctx, scanner, "", from); err != nil {
		return fmt.Errorf("stand-in for %s: %w", scanner, err)
	}
	return nil
}
