package md

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// old is a device of 1 MiB with a superblock 0.90.
func old(order binary.ByteOrder) blockdev.Device {
	p := make([]byte, memberLen)
	at := p[memberLen-reserved0:][:super0Len]
	h := super0{Magic: magic, Minor: 90, Level: levelMirror, Size: (memberLen - reserved0) / 1024, Members: 2, Devices: 2, Preferred: 7,
		UUID0: 0x01020304, UUID1: 0x05060708, UUID2: 0x090a0b0c, UUID3: 0x0d0e0f10, State: 1, Events: [2]uint32{42, 0}, Created: 1e9}
	if order == binary.BigEndian {
		h.Events = [2]uint32{0, 42}
	}
	for i := range 2 {
		h.Disks[i] = disk0{Number: uint32(i), Role: uint32(i), State: stateActive | stateSync}
	}
	h.This = h.Disks[1]
	binary.Encode(at, order, h)
	order.PutUint32(at[checksum0Off:], checksum(at, checksum0Off, order))
	return blockdev.FromBytes(p)
}

// TestAgreesWithExamine: mdadm reads our superblocks as we do.
func TestAgreesWithExamine(t *testing.T) {
	testtool.Need(t, "mdadm")
	level := func(l int32) blockdev.Device {
		return members(3, func(i int, h *super1) {
			h.Level, h.Layout, h.Created = l, 0x102, 1e9
			copy(h.SetUUID[:], "0123456789abcdef")
		})[2]
	}
	for _, c := range []struct {
		name string
		dev  blockdev.Device
		want []string
	}{
		{"mirror", level(levelMirror), []string{"Active device 2"}},
		{"stripe", level(levelStripe), []string{"Chunk Size : 64K"}},
		{"ten", level(levelTen), nil},
		{"five", level(5), nil},
		{"0.90", old(binary.LittleEndian), []string{"Preferred Minor : 7", "Events : 42"}},
	} {
		file := filepath.Join(t.TempDir(), "member")
		p := make([]byte, c.dev.Size())
		if _, err := c.dev.ReadAt(p, 0); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, p, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := find(c.dev)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		out := strings.Join(strings.Fields(testtool.Run(t, "mdadm", "--examine", file)), " ")
		want := append(c.want, "UUID : "+s.uuid, "Raid Level : "+levelName(s.level), fmt.Sprintf("Raid Devices : %d", s.members),
			"- correct", "Version : "+s.version)
		if s.dataOff > 0 {
			want = append(want, fmt.Sprintf("Data Offset : %d sectors", s.dataOff/sector))
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%s: no %q in %s", c.name, w, out)
			}
		}
	}
	little, err := find(old(binary.LittleEndian))
	if err != nil {
		t.Fatal(err)
	}
	big, err := find(old(binary.BigEndian))
	if err != nil || fmt.Sprint(*big) != fmt.Sprint(*little) {
		t.Errorf("big-endian: %+v, not %+v (%v)", big, little, err)
	}
}
