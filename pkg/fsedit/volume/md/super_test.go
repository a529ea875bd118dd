package md

import (
	"context"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

func TestLayout(t *testing.T) {
	for _, c := range []struct {
		v    any
		want int
	}{{super1{}, super1Len}, {super0{}, super0Len}, {disk0{}, 128}} {
		if n := binary.Size(c.v); n != c.want {
			t.Errorf("%T takes %d bytes, not %d", c.v, n, c.want)
		}
	}
}

const memberLen = 1 << 20

// members are n devices with superblocks of version 1.2 that change may change.
func members(n int, change func(i int, h *super1)) []blockdev.Device {
	var out []blockdev.Device
	for i := range n {
		p := make([]byte, memberLen)
		h := super1{Magic: magic, Major: 1, Level: levelMirror, Size: 1024, Chunk: 128, Members: uint32(n), DataOffset: 256,
			DataSize: 1536, SuperOffset: 8, Number: uint32(i), Events: 10, ResyncOffset: ^uint64(0), MaxDevices: 8}
		copy(h.Name[:], "host:data")
		change(i, &h)
		seal1(p, h)
		out = append(out, blockdev.FromBytes(p))
	}
	return out
}

// seal1 writes a superblock of version 1 with the roles 0, 1, ...
func seal1(p []byte, h super1) {
	at := p[4096:]
	binary.Encode(at, le, h)
	for i := range min(int(h.MaxDevices), maxDevices) {
		role := uint16(i)
		if i >= int(h.Members) {
			role = roleSpare
		}
		le.PutUint16(at[super1Len+2*i:], role)
	}
	le.PutUint32(at[checksum1Off:], checksum(at[:super1Len+2*min(int(h.MaxDevices), maxDevices)], checksum1Off, le))
}

func mapAll(t *testing.T, devs []blockdev.Device) ([]volume.Volume, string) {
	t.Helper()
	var heard []string
	vols, err := Mapper{}.Map(context.Background(), devs, volume.Options{Notice: func(s string) { heard = append(heard, s) }})
	if err != nil {
		t.Fatal(err)
	}
	return vols, strings.Join(heard, "\n")
}

// TestRefused: arrays that are named and not put together.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(i int, h *super1)
	}{
		{"RAID 5", "raid5 cannot", func(i int, h *super1) { h.Level = 5 }},
		{"RAID 4", "raid4 cannot", func(i int, h *super1) { h.Level = 4 }},
		{"RAID 6", "raid6 cannot", func(i int, h *super1) { h.Level = 6 }},
		{"container", "level -100 cannot", func(i int, h *super1) { h.Level = -100 }},
		{"far", "far from each other", func(i int, h *super1) { h.Level, h.Layout = 10, 0x201 }},
		{"reshaped", "reshaped", func(i int, h *super1) { h.Features = isReshaping }},
		{"journal", "journal", func(i int, h *super1) { h.Features = hasJournal }},
		{"future", "unknown features", func(i int, h *super1) { h.Features = 1 << 20 }},
		{"no chunk", "chunks of 0", func(i int, h *super1) { h.Level, h.Chunk = 0, 0 }},
		{"no members", "no members", func(i int, h *super1) { h.Members = 0 }},
		{"too small", "1024 bytes", func(i int, h *super1) { h.DataSize = 2 }},
		{"past the end", "on a device of", func(i int, h *super1) { h.DataSize = 1 << 40 }},
		{"overflow", "on a device of", func(i int, h *super1) { h.DataOffset, h.DataSize = 1<<63, 1<<63 }},
		{"unequal and no layout", "no layout is recorded", func(i int, h *super1) { h.Level, h.DataSize = 0, uint64(512+512*i) }},
		{"one missing", "2 of 3 members are missing", func(i int, h *super1) { h.Level, h.Members, h.Number = 0, 3, 0 }},
	} {
		vols, heard := mapAll(t, members(2, c.change))
		if len(vols) > 0 || !strings.Contains(heard, c.want) {
			t.Errorf("%s: %d volumes; notices:\n%s", c.name, len(vols), heard)
		}
	}
}

// TestDegraded: who is left out, and when an array may be written.
func TestDegraded(t *testing.T) {
	for _, c := range []struct {
		name     string
		legs     int
		writable bool
		change   func(i int, h *super1)
	}{
		{"whole", 2, true, func(i int, h *super1) {}},
		{"one event behind", 2, true, func(i int, h *super1) { h.Events -= uint64(i) }},
		{"behind", 1, false, func(i int, h *super1) { h.Events -= uint64(5 * i) }},
		{"being filled", 1, false, func(i int, h *super1) {
			if i == 1 {
				h.Features, h.RecoveryOffset = hasRecovery, 100
			}
		}},
		{"bad blocks", 1, false, func(i int, h *super1) {
			if i == 1 {
				h.Features = hasBadBlocks
			}
		}},
		{"spare", 1, false, func(i int, h *super1) { h.Number += 6 * uint32(i) }},
	} {
		vols, heard := mapAll(t, members(2, c.change))
		if len(vols) != 1 {
			t.Errorf("%s: %d volumes; notices:\n%s", c.name, len(vols), heard)
			continue
		}
		v := vols[0]
		if _, ok := v.Device.(blockdev.Writable); ok {
			t.Errorf("%s: bytes in memory can be written", c.name)
		}
		if got := len(v.Spans(0, 4096)); got != c.legs || v.ID != "md/data" || v.Len != 1024*sector {
			t.Errorf("%s: %d legs, %+v", c.name, got, v)
		}
		var over []blockdev.Device
		for _, d := range members(2, c.change) {
			over = append(over, blockdev.NewOverlay(d, blockdev.OverlayOptions{}))
		}
		vols, _ = mapAll(t, over)
		if _, ok := vols[0].Device.(blockdev.Writable); ok != c.writable {
			t.Errorf("%s: can be written: %v", c.name, ok)
		}
	}
}

// FuzzSuper1 breaks superblocks of version 1 and seals them.
func FuzzSuper1(f *testing.F) {
	for _, level := range []int32{levelLinear, levelStripe, levelMirror, levelTen, 5} {
		h := super1{Magic: magic, Major: 1, Level: level, Size: 1024, Chunk: 128, Members: 2, DataOffset: 256,
			DataSize: 1536, SuperOffset: 8, Events: 10, MaxDevices: 8, Layout: 0x102}
		p := make([]byte, super1Len)
		binary.Encode(p, le, h)
		f.Add(p, p)
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var devs []blockdev.Device
		for i, raw := range [][]byte{a, b} {
			p := make([]byte, memberLen)
			var h super1
			binary.Decode(append(raw, make([]byte, super1Len)...), le, &h)
			h.Magic, h.Major, h.SuperOffset = magic, 1, 8
			h.Number = (h.Number + uint32(i)) % 4
			seal1(p, h)
			devs = append(devs, blockdev.FromBytes(p))
		}
		exercise(t, devs)
	})
}

// FuzzSuper0 does the same to version 0.90.
func FuzzSuper0(f *testing.F) {
	for _, level := range []int32{levelLinear, levelStripe, levelMirror, levelTen, 5} {
		h := super0{Magic: magic, Minor: 90, Level: level, Size: 512, Members: 2, Layout: 0x102, Chunk: 65536, Events: [2]uint32{9}}
		for i := range 2 {
			h.Disks[i] = disk0{Number: uint32(i), Role: uint32(i), State: stateActive | stateSync}
		}
		p := make([]byte, super0Len)
		binary.Encode(p, le, h)
		f.Add(p[:1024], uint8(1), false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, role uint8, big bool) {
		order := binary.ByteOrder(le)
		if big {
			order = binary.BigEndian
		}
		var devs []blockdev.Device
		for i := range 2 {
			p := make([]byte, memberLen)
			at := p[memberLen-reserved0:][:super0Len]
			copy(at, raw)
			order.PutUint32(at, magic)
			order.PutUint32(at[4:], 0)
			order.PutUint32(at[3968:], uint32(i))
			order.PutUint32(at[3968+12:], uint32(i)*uint32(role))
			order.PutUint32(at[checksum0Off:], checksum(at, checksum0Off, order))
			devs = append(devs, blockdev.FromBytes(p))
		}
		exercise(t, devs)
	})
}

// exercise maps devices, reads, and asks where bytes lie.
func exercise(t *testing.T, devs []blockdev.Device) {
	for _, d := range devs {
		Mapper{}.Probe(d)
	}
	vols, _ := Mapper{}.Map(context.Background(), devs, volume.Options{})
	for _, v := range vols {
		p := make([]byte, 70000)
		for _, off := range []int64{0, v.Len / 2, max(0, v.Len-int64(len(p)))} {
			if n, err := v.Device.ReadAt(p, off); n == 0 && off < v.Len {
				t.Fatalf("%s of %d bytes at %d: %v", v.Type, v.Len, off, err)
			}
			if off < v.Len {
				if _, err := blockdev.NextExtent(v.Device, off, v.Len-off); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, s := range v.Spans(0, v.Len) {
			if s.Member < 0 || s.Member >= len(devs) || !ondisk.InRange(s.Off, s.Len, memberLen) {
				t.Fatalf("span %v", s)
			}
		}
	}
}

// TestEndOfDisk: the superblock 0.90 of the last partition shows on the disk too.
func TestEndOfDisk(t *testing.T) {
	leg := make([]byte, memberLen)
	if _, err := old(le).ReadAt(leg, 0); err != nil {
		t.Fatal(err)
	}
	disk := append(make([]byte, memberLen), leg...)
	for _, c := range []struct {
		name string
		p    []byte
		mark bool
		want ondisk.Match
	}{
		{"partition", leg, false, ondisk.Sure},
		{"partition with a boot sector", leg, true, ondisk.Sure},
		{"disk with a table", disk, true, ondisk.Maybe},
		{"larger than its mirror", disk, false, ondisk.Sure},
	} {
		p := append([]byte(nil), c.p...)
		if c.mark {
			p[510], p[511] = 0x55, 0xaa
		}
		if got, err := (Mapper{}).Probe(blockdev.FromBytes(p)); got != c.want || err != nil {
			t.Errorf("%s: %v, not %v (%v)", c.name, got, c.want, err)
		}
	}
}
