//go:build bench

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// rounds is how often each side runs; the sides take turns, so that a machine
// that slows down slows both.
const rounds = 7

// race is one comparison. Both sides are shell lines; OUT is their output file,
// which is removed before each run and synced at its end.
type race struct {
	name         string
	ours, theirs string
	limit        float64       // our median at most this times theirs
	slack        time.Duration // or at most this longer, when set
}

// TestBench prints our time and the competitor's, as medians of interleaved
// runs, and fails on a ratio over its limit. VMCONV and VMCONV_GUESTS name the
// binary and the folder of the guests that scripts/guests built.
func TestBench(t *testing.T) {
	testtool.Need(t, "qemu-img", "sync")
	vmconv, guests := mustEnv(t, "VMCONV"), mustEnv(t, "VMCONV_GUESTS")
	dir := t.TempDir()
	empty := buildEmpty(t, dir)
	raw := filepath.Join(guests, "mbr.img")
	qcow2 := filepath.Join(dir, "mbr.qcow2")
	testtool.Run(t, "qemu-img", "convert", "-O", "qcow2", raw, qcow2)
	races := []race{
		{name: "cat /etc/fstab, raw", ours: vmconv + " cat " + raw + " /etc/fstab", theirs: empty, slack: 10 * time.Millisecond},
		{name: "cat /etc/fstab, qcow2", ours: vmconv + " cat " + qcow2 + " /etc/fstab", theirs: empty, slack: 10 * time.Millisecond},
		{name: "raw -> qcow2", ours: vmconv + " -q convert " + raw + " -O qcow2 -o OUT.qcow2", theirs: "qemu-img convert -W -m 16 -O qcow2 " + raw + " OUT.qcow2", limit: 1},
		{name: "qcow2 -> raw", ours: vmconv + " -q convert " + qcow2 + " -O raw -o OUT.raw", theirs: "qemu-img convert -W -m 16 -O raw " + qcow2 + " OUT.raw", limit: 1},
		{name: "raw -> qcow2 -c", ours: vmconv + " -q convert -c " + raw + " -O qcow2 -o OUT.qcow2", theirs: "qemu-img convert -c -W -m 16 -O qcow2 " + raw + " OUT.qcow2", limit: 1 / 1.5},
		{name: "raw -> qcow2 -c zstd", ours: vmconv + " -q convert -c --opt compression_type=zstd " + raw + " -O qcow2 -o OUT.qcow2", theirs: "qemu-img convert -c -o compression_type=zstd -W -m 16 -O qcow2 " + raw + " OUT.qcow2", limit: 1},
		{name: "convert --to kvm", ours: vmconv + " -q convert " + raw + " --to kvm -o OUT.qcow2", theirs: "cp --sparse=always " + raw + " OUT.qcow2", limit: 1.5},
	}
	fmt.Printf("%-24s %9s %9s %7s %9s %9s\n", "", "vmconv", "other", "ratio", "limit", "memory")
	for _, r := range races {
		runRace(t, dir, r)
	}
}

func runRace(t *testing.T, dir string, r race) {
	var ours, theirs []time.Duration
	var memory int64
	for i := range rounds + 1 {
		a, rss := timed(t, dir, r.ours)
		b, _ := timed(t, dir, r.theirs)
		if i == 0 {
			continue // warms the caches up
		}
		ours, theirs = append(ours, a), append(theirs, b)
		memory = max(memory, rss)
	}
	a, b := median(ours), median(theirs)
	ratio, limit := float64(a)/float64(b), fmt.Sprintf("%.2f", r.limit)
	ok := ratio <= r.limit
	if r.slack > 0 {
		limit, ok = "+"+r.slack.String(), a <= b+r.slack
	}
	fmt.Printf("%-24s %7.0fms %7.0fms %7.2f %9s %6d MiB\n", r.name, ms(a), ms(b), ratio, limit, memory>>20)
	if !ok {
		t.Errorf("%s: %v against %v, over the limit of %s", r.name, a, b, limit)
	}
	if memory > 200<<20 {
		t.Errorf("%s: %d MiB resident, more than 200", r.name, memory>>20)
	}
}

// timed runs a shell line and syncs its output. The time counts both.
func timed(t *testing.T, dir, line string) (time.Duration, int64) {
	t.Helper()
	out := filepath.Join(dir, "out")
	for _, name := range []string{"out.qcow2", "out.raw", "out.xml"} {
		os.Remove(filepath.Join(dir, name))
	}
	line = strings.ReplaceAll(line, "OUT", out)
	words := strings.Fields(line)
	start := time.Now()
	cmd := exec.Command(words[0], words[1:]...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, text)
	}
	for _, name := range []string{"out.qcow2", "out.raw"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			testtool.Run(t, "sync", filepath.Join(dir, name))
		}
	}
	took := time.Since(start)
	return took, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
}

// buildEmpty builds the program that does nothing: what a process costs.
func buildEmpty(t *testing.T, dir string) string {
	src := filepath.Join(dir, "empty.go")
	if err := os.WriteFile(src, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "empty")
	testtool.Run(t, "go", "build", "-o", out, src)
	return out
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
