package standin

import (
	"context"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
)

const certificates = "/etc/ssl/certs/ca-certificates.crt"

// fillAlpine writes the contents of a base image: a shell with tools, users and CA certificates.
func (m Maker) fillAlpine(ctx context.Context, t *tree) error {
	for _, dir := range []string{"bin", "etc", "etc/ssl", "etc/ssl/certs", "root", "usr", "usr/bin", "usr/local", "usr/local/bin", "var"} {
		if err := t.dir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := t.dir("tmp", 0o777|fs.ModeSticky); err != nil {
		return err
	}
	if err := t.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"); err != nil {
		return err
	}
	if err := t.text("etc/group", "root:x:0:\nnobody:x:65534:\n"); err != nil {
		return err
	}
	public, err := os.ReadFile(certificates)
	if err != nil {
		return err
	}
	if err := t.text(certificates[1:], string(public)+string(m.PublicCA)); err != nil {
		return err
	}
	return addBusybox(ctx, t)
}

// addBusybox adds this machine's busybox, under the names of all its applets.
func addBusybox(ctx context.Context, t *tree) error {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("%w: apt-get install busybox-static", err)
	}
	if err := checkStatic(busybox); err != nil {
		return fmt.Errorf("%w: apt-get install busybox-static", err)
	}
	if err := t.file("bin/busybox", busybox); err != nil {
		return err
	}
	applets, err := exec.CommandContext(ctx, busybox, "--list").Output()
	if err != nil {
		return err
	}
	for _, applet := range strings.Fields(string(applets)) {
		if applet == "busybox" {
			continue
		}
		if err := t.symlink("bin/"+applet, "busybox"); err != nil {
			return err
		}
	}
	return nil
}

// checkStatic rejects a program that would need shared libraries in the image.
func checkStatic(program string) error {
	file, err := elf.Open(program)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // nothing is written
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is not static", program)
		}
	}
	return nil
}
