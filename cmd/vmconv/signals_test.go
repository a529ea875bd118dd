//go:build linux

package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStopped stops a conversion in its middle by each signal. What it leaves is
// never an image under the final name; what can be caught leaves nothing at all.
func TestStopped(t *testing.T) {
	src := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(src, noise(64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(sig.String(), func(t *testing.T) {
			dir := t.TempDir()
			out := filepath.Join(dir, "out.qcow2")
			cmd := program("convert", src, "-o", out, "-c", "--opt", "compression_type=zlib")
			var talk bytes.Buffer
			cmd.Stderr = &talk
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			grows(t, filepath.Join(dir, ".out.qcow2.vmconv-0000.part"))
			cmd.Process.Signal(sig)
			cmd.Wait()
			if code := exitOf(cmd.ProcessState); code != 128+int(sig) {
				t.Errorf("exit code %d\n%s", code, talk.String())
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("there is an output")
			}
			if sig != syscall.SIGKILL {
				if left := leftIn(t, dir); left != "" {
					t.Errorf("left behind: %s", left)
				}
				if !strings.Contains(talk.String(), "stopped by signal") {
					t.Errorf("it said: %s", talk.String())
				}
			}
			wants(t, 0, []string{"convert", src, "-o", out}) // nothing is in the way
		})
	}
}

// noise does not compress.
func noise(n int) []byte {
	r := rand.New(rand.NewPCG(3, 3))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32() >> 7)
	}
	return p
}

// grows waits until a file has some bytes.
func grows(t testing.TB, path string) {
	t.Helper()
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(time.Millisecond) {
		if info, err := os.Stat(path); err == nil && info.Size() > 3<<20 {
			return
		}
	}
	t.Fatalf("%s did not grow", path)
}

// TestReaderLeaves closes the pipe that the output goes to, as `| head -1` does:
// the end is that of SIGPIPE, without a word.
func TestReaderLeaves(t *testing.T) {
	img := newDisk(t, "48M", "ext4", system(map[string][]byte{"srv/big": noise(20 << 20)}))
	for _, args := range [][]string{
		{"ls", "-R", img, "/"},
		{"cat", img, "/srv/big"},
		{"cp", img + ":/srv/big", "-"},
		{"inspect", img},
		{"inspect", "--json", img},
		{"version"},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		cmd := program(args...)
		cmd.Stdout = w
		got := wait(t, cmd)
		w.Close()
		if got.code != 141 || got.stderr != "" {
			t.Errorf("vmconv %s: exit code %d, not 141; it said: %s", args[0], got.code, got.stderr)
		}
	}
}

// TestStoppedCopies stops a copy from a stdin that never ends.
func TestStoppedCopies(t *testing.T) {
	dir := t.TempDir()
	huge := filepath.Join(dir, "huge")
	img := newDisk(t, "48M", "ext4", system(nil))
	before := stamp(t, img)
	if err := syscall.Mkfifo(huge, 0o600); err != nil {
		t.Fatal(err)
	}
	endless, err := os.OpenFile(huge, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer endless.Close()
	go func() {
		for p := make([]byte, 64<<10); ; {
			if _, err := endless.Write(p); err != nil {
				return
			}
		}
	}()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd := program("cp", "-", img+":/huge")
		cmd.Stdin = endless
		var talk bytes.Buffer
		cmd.Stderr = &talk
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
		cmd.Process.Signal(sig)
		done := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		done.Stop()
		if code := exitOf(cmd.ProcessState); code != 128+int(sig) {
			t.Errorf("%v: exit code %d\n%s", sig, code, talk.String())
		}
	}
	if after := stamp(t, img); after != before {
		t.Error("the image changed")
	}
	alone(t, img)
}
