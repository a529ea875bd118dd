package qcow2

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
)

// region is a line of qemu-img map; ours is brought to the same form.
type region struct {
	Start, Length       int64
	Depth               int
	Present, Zero, Data bool
	Offset              int64 // -1 where the judge prints none
}

func (r *region) UnmarshalJSON(p []byte) error {
	type fields region // without this method
	f := fields{Offset: -1}
	err := json.Unmarshal(p, &f)
	*r = region(f)
	return err
}

// theirMap is qemu-img's map. Where it says that a cluster is a hole of its file
// we do not follow: ours is the format's own word. A zero cluster's reservation is
// not in ours, and a raw file's hole (at depth raw) is nothing that is present.
func (b *bench) theirMap(name string, raw int) []region {
	b.t.Helper()
	var out []region
	if err := json.Unmarshal([]byte(b.img("map -f qcow2 --output=json @"+name)), &out); err != nil {
		b.t.Fatal(err)
	}
	for i := range out {
		if r := &out[i]; r.Data {
			r.Zero = false
		} else {
			r.Offset = -1
			r.Present = r.Present && r.Depth != raw
		}
	}
	return merge(out)
}

// merge joins neighbours as our own walk does.
func merge(in []region) (out []region) {
	for _, r := range in {
		if n := len(out); n > 0 {
			last := &out[n-1]
			same := last.Depth == r.Depth && last.Present == r.Present && last.Zero == r.Zero && last.Data == r.Data
			near := last.Offset < 0 && r.Offset < 0 || last.Offset >= 0 && last.Offset+last.Length == r.Offset
			if same && near {
				last.Length += r.Length
				continue
			}
		}
		out = append(out, r)
	}
	return out
}

// ourMap opens the image as the host has it, so that holes of a raw file below
// are known.
func (b *bench) ourMap(name string) (out []region, files []string) {
	b.t.Helper()
	ctx := context.Background()
	src, err := osfile.Open(b.path(name), osfile.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	img, err := registry.Open(ctx, src, "qcow2", imagefmt.OpenOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	defer img.Close()
	for e, err := range imagefmt.Map(ctx, img, 0, img.Size()) {
		if err != nil {
			b.t.Fatal(err)
		}
		out = append(out, region{
			Start: e.Off, Length: e.Len, Depth: e.Depth, Offset: e.HostOff,
			Present: e.State != imagefmt.Hole,
			Zero:    e.State == imagefmt.Hole || e.State == imagefmt.Zero,
			Data:    e.State == imagefmt.Stored || e.State == imagefmt.Compressed,
		})
		files = append(files, strings.TrimPrefix(e.File, b.dir+"/"))
	}
	return merge(out), files
}

func TestMap(t *testing.T) {
	tests := []struct {
		name, options string
		writes        []string // by qemu-io
		files         string   // that must be named
	}{
		{"default", "", nil, "disk.qcow2"},
		{"v2", "-o compat=0.10", nil, "disk.qcow2"},
		{"cluster 512", "-o cluster_size=512", nil, "disk.qcow2"},
		{"cluster 2M", "-o cluster_size=2M", nil, "disk.qcow2"},
		{"zeros", "", []string{"write -z 64k 256k", "write -z -u 1M 128k", "discard 2M 64k", "write -P 3 100k 8k"}, "disk.qcow2"},
		{"zlib", "-c", []string{"write -P 3 100k 8k"}, "disk.qcow2"},
		{"zstd", "-c -o compression_type=zstd", nil, "disk.qcow2"},
		{"extended", "-o extended_l2=on", []string{"write -P 1 66k 2k", "write -z 132k 6k", "discard 1M 128k", "write -z 2M 64k"}, "disk.qcow2"},
		{"extended zlib", "-c -o extended_l2=on", []string{"write -P 1 66k 2k"}, "disk.qcow2"},
		{"metadata", "-o preallocation=metadata", nil, "disk.qcow2"},
		{"data file", "-o data_file=disk.data", nil, "disk.data"},
		{"raw data file", "-o data_file=disk.data,data_file_raw=on", nil, "disk.data"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.write("in.raw", pattern(diskSize, 7))
			b.img("convert -f raw -O qcow2 " + tt.options + " @in.raw @disk.qcow2")
			if tt.writes != nil {
				b.io("disk.qcow2", tt.writes...)
			}
			b.expectSameMap("disk.qcow2", noRaw, tt.files)
		})
	}
}

// noRaw is the depth of a raw image, and of the same one seen from above, where
// there is none.
const noRaw = -9

// expectSameMap holds our map against qemu-img's. The image at depth raw is raw.
func (b *bench) expectSameMap(name string, raw int, files ...string) {
	b.t.Helper()
	theirs := b.theirMap(name, raw)
	ours, named := b.ourMap(name)
	if !slices.Equal(ours, theirs) {
		b.t.Errorf("the maps differ:\n%s", sideBySide(ours, theirs))
	}
	for _, f := range files {
		if !slices.Contains(named, f) {
			b.t.Errorf("no entry names %s: %v", f, named)
		}
	}
}

func sideBySide(ours, theirs []region) string {
	var s strings.Builder
	for i := range max(len(ours), len(theirs)) {
		if i < len(ours) && i < len(theirs) && ours[i] == theirs[i] {
			continue
		}
		if i < len(ours) {
			fmt.Fprintf(&s, "%d ours   %+v\n", i, ours[i])
		}
		if i < len(theirs) {
			fmt.Fprintf(&s, "%d theirs %+v\n", i, theirs[i])
		}
		if s.Len() > 2000 {
			break
		}
	}
	return s.String()
}

func TestMapBacking(t *testing.T) {
	tests := []struct {
		name, base, top string
		size            string
		writes          []string
	}{
		{"raw", "raw", "", "", []string{"write -P 1 100k 3k", "write -z 1M 128k"}},
		{"smaller clusters", "qcow2 -o cluster_size=4k", "", "", []string{"write -P 2 70k 1k"}},
		{"larger clusters", "qcow2 -o cluster_size=2M", "-o cluster_size=4k", "", []string{"write -P 3 70k 9k", "write -z 3M 8k"}},
		{"shorter", "qcow2", "", "9M", []string{"write -P 4 8M 64k", "write -P 5 5M 1k"}},
		{"longer", "qcow2", "", "3000k", []string{"write -P 6 1M 1k"}},
		{"extended of compressed", "qcow2 -c", "-o extended_l2=on,cluster_size=128k", "", []string{"write -P 7 68k 4k", "write -z 140k 4k", "write -P 1 256k 128k", "write -c -P 3 512k 128k"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.write("in.raw", pattern(diskSize, 8))
			b.img("convert -f raw -O " + tt.base + " @in.raw @base")
			b.img("create -q -f qcow2 " + tt.top + " -b base -F " + strings.Fields(tt.base)[0] + " @mid.qcow2 " + tt.size)
			b.io("mid.qcow2", tt.writes...)
			b.img("create -q -f qcow2 -b mid.qcow2 -F qcow2 @top.qcow2")
			b.io("top.qcow2", "write -P 9 2M 64k", "write -z 2200k 100k")
			raw := noRaw
			if tt.base == "raw" {
				raw = 1
			}
			b.expectSameMap("mid.qcow2", raw, "mid.qcow2", "base")
			b.expectSameMap("top.qcow2", raw+1, "top.qcow2", "mid.qcow2", "base")
		})
	}
}
