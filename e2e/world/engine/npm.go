package engine

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
)

// NPM returns the folder of the programs that the npm package in dir provides, according to its lock file: installed
// once, and kept next to the engines. It requires Node.js and npm.
func NPM(ctx context.Context, dir string) (string, error) {
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return "", err
	}
	name := filepath.Base(dir)
	installed, err := cached(ctx, fmt.Sprintf("%s-%.6x", name, sha256.Sum256(lock)), func(ctx context.Context, target string) error {
		say("installing %s with npm, once", name)
		for _, file := range []string{".npmrc", "package.json", "package-lock.json"} {
			content, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(target, file), content, 0o644); err != nil {
				return err
			}
		}
		return run(ctx, os.Environ(), target, "npm", "ci")
	})
	if err != nil {
		return "", fmt.Errorf("install %s: %w", name, err)
	}
	return filepath.Join(installed, "node_modules", ".bin"), nil
}
