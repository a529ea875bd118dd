//go:build guests && linux

package main

import (
	"bufio"
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestGuestInUse has an image open in a QEMU: what it writes is refused
// altogether, what it only reads may be read.
func TestGuestInUse(t *testing.T) {
	mustEnv(t, "VMCONV")
	testtool.Need(t, "qemu-system-x86_64", "qemu-img")
	raw := newDisk(t, "24M", "ext4", system(map[string][]byte{"etc/hosts": []byte("one\n")}))
	for _, format := range []string{"raw", "qcow2"} {
		t.Run(format, func(t *testing.T) {
			img := inFormat(t, raw, format)
			before := stamp(t, img)
			out := filepath.Join(t.TempDir(), "out.qcow2")
			writes := [][]string{
				{"edit", img, "/etc/hosts", "-e", "s/one/two/"},
				{"cp", "/dev/null", img + ":/root"},
				{"cp", "-", img + ":/root"},
				{"convert", "--in-place", img, "--to", "kvm"},
			}
			reads := [][]string{
				{"cat", img, "/etc/hosts"},
				{"ls", img, "/etc"},
				{"inspect", img},
				{"convert", img, "-O", "qcow2", "-o", out, "--overwrite"},
			}
			for _, mode := range []string{"", ",snapshot=on", ",readonly=on"} {
				stop := holdInQEMU(t, img, format, mode)
				for _, args := range writes {
					wants(t, 9, args, "in use")
				}
				code := 0
				if mode == "" {
					code = 9
				}
				for _, args := range reads {
					wants(t, code, args)
				}
				stop()
			}
			if after := stamp(t, img); after != before {
				t.Errorf("the image changed: %s, then %s", before, after)
			}
			wants(t, 0, writes[0])
			for _, args := range reads {
				wants(t, 0, args)
			}
			alone(t, img)
		})
	}
}

// holdInQEMU starts a machine that stands still with an image open.
func holdInQEMU(t *testing.T, img, format, mode string) (stop func()) {
	t.Helper()
	cmd := exec.Command("qemu-system-x86_64", "-S", "-accel", "tcg", "-m", "64", "-display", "none", "-no-user-config", "-nodefaults",
		"-qmp", "stdio", "-drive", "if=none,id=d,file="+img+",format="+format+mode, "-device", "virtio-blk-pci,drive=d")
	var talk bytes.Buffer
	cmd.Stderr = &talk
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		stdin.Close()
		cmd.Process.Kill()
		cmd.Wait()
	}
	t.Cleanup(stop)
	// The greeting, and with it the answer to a first command: the disk is open.
	lines := bufio.NewReader(stdout)
	greeting, _ := lines.ReadString('\n')
	stdin.Write([]byte(`{"execute":"qmp_capabilities"}` + "\n"))
	answer, _ := lines.ReadString('\n')
	if !strings.Contains(greeting, "QMP") || !strings.Contains(answer, "return") {
		t.Fatalf("QEMU did not start: %s%s%s", greeting, answer, talk.String())
	}
	return stop
}
