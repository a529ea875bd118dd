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

// race is one comparison. Both sides are shell lines; OUT is their output file
// without its extension, which is removed before each run and synced at its end.
type race struct {
	name         string
	ours, theirs string
	rounds       int           // how often each side runs
	limit        float64       // our best time at most this times theirs
	slack        time.Duration // or at most this longer, when set
}

// mostMemory is what a conversion may be resident with, in bytes.
const mostMemory = 200 << 20

// bench is the folder and the programs of one run.
type bench struct {
	dir, vmconv string
}

func newBench(t *testing.T) *bench {
	testtool.Need(t, "qemu-img", "sync")
	return &bench{dir: t.TempDir(), vmconv: mustEnv(t, "VMCONV")}
}

// TestBench prints our time and the competitor's, each the best of interleaved
// runs, and fails on a ratio over its limit. VMCONV and VMCONV_GUESTS name the
// binary and the folder of the guests that scripts/guests built.
func TestBench(t *testing.T) {
	b := newBench(t)
	raw := filepath.Join(mustEnv(t, "VMCONV_GUESTS"), "mbr.img")
	empty := b.empty(t)
	images := b.images(t, raw)
	b.header()
	for _, name := range []string{"raw", "qcow2"} {
		b.run(t, race{name: "cat /etc/fstab, " + name, rounds: 7, ours: b.vmconv + " cat " + images[name] + " /etc/fstab", theirs: empty, slack: 10 * time.Millisecond})
	}
	b.run(t, race{name: "convert --to kvm", rounds: 7, ours: b.vmconv + " -q convert " + raw + " --to kvm -o OUT.qcow2", theirs: "cp --sparse=always " + raw + " OUT.qcow2", limit: 1.5})
	for _, from := range sourceNames(images) {
		for _, to := range plain {
			b.run(t, b.pair(from, images[from], to, "", 1))
		}
	}
}

// TestBenchPacked is about compressed images, where the cores count.
func TestBenchPacked(t *testing.T) {
	b := newBench(t)
	raw := filepath.Join(mustEnv(t, "VMCONV_GUESTS"), "mbr.img")
	b.header()
	stream := written{"vmdk", "vmdk", "subformat=streamOptimized"}
	b.run(t, b.pair("raw", raw, written{"qcow2", "qcow2", ""}, "-c", 0.5))
	b.run(t, b.pair("raw", raw, written{"qcow2", "qcow2", "compression_type=zstd"}, "-c", 1))
	b.run(t, b.pair("raw", raw, stream, "", 0.25))
	packed := map[string]string{}
	for name, args := range map[string][]string{
		"qcow2 zlib": {"-c", "-O", "qcow2"},
		"qcow2 zstd": {"-c", "-O", "qcow2", "-o", "compression_type=zstd"},
		"stream":     {"-O", "vmdk", "-o", "subformat=streamOptimized"},
	} {
		packed[name] = filepath.Join(b.dir, strings.ReplaceAll(name, " ", "-"))
		testtool.Run(t, "qemu-img", append(append([]string{"convert"}, args...), raw, packed[name])...)
	}
	for _, name := range sourceNames(packed) {
		b.run(t, b.pair(name, packed[name], written{"raw", "raw", ""}, "", 1))
	}
	b.run(t, b.pair("stream", packed["stream"], written{"qcow2", "qcow2", ""}, "-c", 0.5))
}

// TestBenchSparse is about a disk of 15 TiB with 1 GiB of data in it.
func TestBenchSparse(t *testing.T) {
	b := newBench(t)
	raw := filepath.Join(b.dir, "sparse.img")
	testtool.Run(t, "truncate", "-s", "15T", raw)
	for i := range 16 {
		testtool.Run(t, "sh", "-c", fmt.Sprintf("head -c 64M /dev/urandom | dd of=%s bs=1M seek=%d conv=notrunc status=none", raw, i*983_040))
	}
	qcow2 := filepath.Join(b.dir, "sparse.qcow2")
	testtool.Run(t, "qemu-img", "convert", "-O", "qcow2", raw, qcow2)
	b.header()
	b.run(t, b.pair("raw 15T", raw, written{"qcow2", "qcow2", ""}, "", 1))
	b.run(t, b.pair("qcow2 15T", qcow2, written{"raw", "raw", ""}, "", 1))
	b.run(t, b.pair("raw 15T", raw, written{"vhdx", "vhdx", ""}, "", 1))
}

// written is an output format with options, under our name and qemu-img's.
type written struct{ ours, theirs, options string }

// plain are the formats of which each is converted to each.
var plain = []written{
	{"raw", "raw", ""}, {"qcow2", "qcow2", ""}, {"vmdk", "vmdk", ""}, {"vhd", "vpc", ""}, {"vhdx", "vhdx", ""}, {"vdi", "vdi", ""},
}

// images are foreign images of one disk, in every plain format.
func (b *bench) images(t *testing.T, raw string) map[string]string {
	images := map[string]string{"raw": raw}
	for _, k := range plain[1:] {
		images[k.ours] = filepath.Join(b.dir, "source."+k.ours)
		testtool.Run(t, "qemu-img", "convert", "-f", "raw", "-O", k.theirs, raw, images[k.ours])
	}
	return images
}

func sourceNames(images map[string]string) []string {
	names := make([]string, 0, len(images))
	for name := range images {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// pair is one conversion against qemu-img with its best flags.
func (b *bench) pair(name, source string, to written, flags string, limit float64) race {
	ours := fmt.Sprintf("%s -q convert %s %s -O %s -o OUT.%s", b.vmconv, flags, source, to.ours, to.ours)
	theirs := fmt.Sprintf("qemu-img convert %s -W -m 16 -O %s", flags, to.theirs)
	if to.options != "" {
		ours += " --opt " + to.options
		theirs += " -o " + to.options
	}
	target := strings.TrimSpace(to.ours + " " + flags + " " + strings.TrimPrefix(to.options, "subformat="))
	return race{name: name + " -> " + target, ours: ours, theirs: theirs + " " + source + " OUT." + to.ours, rounds: 5, limit: limit}
}

func (b *bench) header() {
	fmt.Printf("%-36s %9s %9s %7s %9s %9s\n", "", "vmconv", "other", "ratio", "limit", "memory")
}

// run lets the sides take turns, so that a machine that slows down slows both. What
// disturbs a run makes it slower, never faster: the best of each side counts. (Medians
// were tried; a virtual disk that now and then takes twice its time decided them.)
func (b *bench) run(t *testing.T, r race) {
	t.Helper()
	var ours, theirs []time.Duration
	var memory int64
	for i := range r.rounds + 1 {
		x, rss := b.timed(t, r.ours)
		y, _ := b.timed(t, r.theirs)
		if i == 0 {
			continue // warms the caches up
		}
		ours, theirs = append(ours, x), append(theirs, y)
		memory = max(memory, rss)
	}
	x, y := slices.Min(ours), slices.Min(theirs)
	ratio, limit := float64(x)/float64(y), fmt.Sprintf("%.2f", r.limit)
	ok := ratio <= r.limit
	if r.slack > 0 {
		limit, ok = "+"+r.slack.String(), x <= y+r.slack
	}
	fmt.Printf("%-36s %7.0fms %7.0fms %7.2f %9s %6d MiB\n", r.name, ms(x), ms(y), ratio, limit, memory>>20)
	if !ok {
		t.Errorf("%s: %v against %v, over the limit of %s", r.name, x, y, limit)
	}
	if memory > mostMemory {
		t.Errorf("%s: %d MiB resident, more than %d", r.name, memory>>20, mostMemory>>20)
	}
}

// timed runs a line and syncs its outputs. The time counts both.
func (b *bench) timed(t *testing.T, line string) (time.Duration, int64) {
	t.Helper()
	b.remove(t)
	words := strings.Fields(strings.ReplaceAll(line, "OUT", filepath.Join(b.dir, "out")))
	start := time.Now()
	cmd := exec.Command(words[0], words[1:]...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, text)
	}
	if outs, _ := filepath.Glob(filepath.Join(b.dir, "out.*")); len(outs) > 0 {
		testtool.Run(t, "sync", outs...)
	}
	return time.Since(start), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
}

// remove takes the outputs away, and waits until the file system has done so:
// else the next run's sync pays for it.
func (b *bench) remove(t *testing.T) {
	outs, err := filepath.Glob(filepath.Join(b.dir, "out*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range outs {
		if err := os.Remove(out); err != nil {
			t.Fatal(err)
		}
	}
	testtool.Run(t, "sync", "-f", b.dir)
}

// empty builds the program that does nothing: what a process costs.
func (b *bench) empty(t *testing.T) string {
	src := filepath.Join(b.dir, "empty.go")
	if err := os.WriteFile(src, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(b.dir, "empty")
	testtool.Run(t, "go", "build", "-o", out, src)
	return out
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
