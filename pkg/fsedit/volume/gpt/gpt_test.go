package gpt

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskfs/go-diskfs/backend/file"
	other "github.com/diskfs/go-diskfs/partition/gpt"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

func TestLayout(t *testing.T) {
	if n := binary.Size(header{}); n != headerLen {
		t.Errorf("a header takes %d bytes, not %d", n, headerLen)
	}
	if n := binary.Size(entry{}); n != minEntryLen {
		t.Errorf("an entry takes %d bytes, not %d", n, minEntryLen)
	}
	p := make([]byte, minEntryLen)
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		var want entry
		if _, err := binary.Decode(p, binary.LittleEndian, &want); err != nil {
			t.Fatal(err)
		}
		if got := decodeEntry(p); got != want {
			t.Fatalf("%x: %+v, not %+v", p, got, want)
		}
	}
}

// TestAgreesWithSgdiskAndGoDiskfs reads a table of sgdisk beside a reader of
// another project.
func TestAgreesWithSgdiskAndGoDiskfs(t *testing.T) {
	img := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(img, make([]byte, 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	testtool.Run(t, "sgdisk", "-n", "1:2048:+1M", "-t", "1:ef02", "-n", "7:0:+2M", "-c", "7:data disk",
		"-n", "2:0:+4M", "-t", "2:ef00", "-A", "7:set:2", img)
	f, err := os.Open(img)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := other.Read(file.New(f, true), 512, 512)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, p := range table.Partitions {
		if p.Type != other.Unused {
			want[strings.ToLower(fmt.Sprint(p.Start, p.End, p.Type, p.GUID, p.Name))] = true
		}
	}
	p, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	vols, err := Mapper{}.Map(context.Background(), []blockdev.Device{blockdev.FromBytes(p)}, volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(vols) != 3 || len(want) != 3 {
		t.Fatalf("%d partitions, go-diskfs has %d", len(vols), len(want))
	}
	for _, v := range vols {
		if s := fmt.Sprint(v.Off/512, (v.Off+v.Len)/512-1, v.Type, v.UUID, v.Label); !want[strings.ToLower(s)] {
			t.Errorf("%s is not in %v", s, want)
		}
	}
}

// small is a good table on a disk of 64 sectors, for the fuzzer to break.
func small() []byte {
	p := make([]byte, 64*512)
	p[510], p[511], p[450] = 0x55, 0xaa, 0xee
	entries := p[2*512 : 3*512]
	for i := range 2 {
		e := entries[i*128:]
		e[0], e[16] = 1, byte(i+1)
		binary.LittleEndian.PutUint64(e[32:], uint64(10+i*10))
		binary.LittleEndian.PutUint64(e[40:], uint64(15+i*10))
		e[56] = 'x'
	}
	h := header{Signature: [8]byte([]byte(signature)), Revision: revision, HeaderLen: headerLen, MyLBA: 1,
		AlternateLBA: 63, EntriesLBA: 2, Entries: 4, EntryLen: 128, EntriesCRC: crc32.ChecksumIEEE(entries)}
	seal(p, h)
	return p
}

func seal(p []byte, h header) {
	h.HeaderCRC = 0
	at := p[h.MyLBA*512:][:headerLen]
	binary.Encode(at, binary.LittleEndian, h)
	binary.LittleEndian.PutUint32(at[headerCRCOff:], crc32.ChecksumIEEE(at))
}

// FuzzMap breaks the fields of a header and the bytes of the entries, and seals
// both: no checksum stands between the fuzzer and the code.
func FuzzMap(f *testing.F) {
	good := small()
	f.Add(good[512:512+headerLen], good[1024:1536])
	f.Fuzz(func(t *testing.T, head, entries []byte) {
		p := small()
		copy(p[512:512+headerLen], head)
		copy(p[1024:], entries)
		var h header
		binary.Decode(p[512:], binary.LittleEndian, &h)
		h.MyLBA, h.Signature = 1, [8]byte([]byte(signature))
		if n := uint64(h.Entries) * uint64(h.EntryLen); n < 60*512 && h.EntriesLBA == 2 {
			h.EntriesCRC = crc32.ChecksumIEEE(p[1024:][:n])
		}
		seal(p, h)
		dev := blockdev.FromBytes(p)
		Mapper{}.Probe(dev)
		Mapper{}.DiskID(dev)
		vols, err := Mapper{}.Map(context.Background(), []blockdev.Device{dev}, volume.Options{})
		if err != nil {
			return
		}
		for _, v := range vols {
			if v.Off < 0 || v.Len <= 0 || v.Off+v.Len > int64(len(p)) || v.Device.Size() != v.Len {
				t.Errorf("volume %+v on %d bytes", v, len(p))
			}
		}
	})
}
