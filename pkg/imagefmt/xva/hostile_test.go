package xva

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// TestHostile: archives that contradict themselves or want too much.
func TestHostile(t *testing.T) {
	full, short := pattern(chunkSize, 1), pattern(512, 1)
	at := func(number int, data []byte) []file { return chunkOf("Ref:4", number, xxh64, data) }
	two := oneDisk(2 * chunkSize)
	for name, c := range map[string]struct {
		content []byte
		want    error
	}{
		"no description":       {bytes.Replace(pack(t, two), []byte("ova.xml"), []byte("ovf.xml"), 1), ondisk.ErrFormat},
		"no chunks":            {pack(t, two), ondisk.ErrCorrupt},
		"first is missing":     {pack(t, two, at(1, full)), ondisk.ErrCorrupt},
		"last is missing":      {pack(t, two, at(0, full)), ondisk.ErrCorrupt},
		"last is short":        {pack(t, two, at(0, full), at(1, short)), ondisk.ErrCorrupt},
		"middle is short":      {pack(t, two, at(0, short), at(1, full)), ondisk.ErrCorrupt},
		"chunk too long":       {pack(t, two, at(0, join(full, short)), at(1, full)), ondisk.ErrCorrupt},
		"descending":           {pack(t, two, at(0, full), at(1, full), at(0, full)), ondisk.ErrCorrupt},
		"twice":                {pack(t, two, at(0, full), at(0, full)), ondisk.ErrCorrupt},
		"giant number":         {pack(t, two, at(0, full), at(99_999_999, full)), ondisk.ErrCorrupt},
		"behind the end":       {pack(t, two, at(0, full), at(1, full), at(2, full)), ondisk.ErrCorrupt},
		"stray checksum":       {pack(t, two, at(0, full), at(1, full)[1:]), ondisk.ErrCorrupt},
		"long checksum":        {pack(t, two, at(0, full)[:1], []file{{"Ref:4/00000000.xxhash", full}}), ondisk.ErrCorrupt},
		"two descriptions":     {pack(t, two, at(0, full), []file{{"ova.xml", nil}}), ondisk.ErrAmbiguous},
		"no machine":           {pack(t, xmlDoc()), ondisk.ErrCorrupt},
		"two machines":         {pack(t, xmlDoc(xmlVM("Ref:1"), xmlVM("Ref:2"))), ondisk.ErrAmbiguous},
		"no disk":              {pack(t, xmlDoc(xmlVM("Ref:1"))), ondisk.ErrUnsupported},
		"disk not described":   {pack(t, xmlDoc(xmlVM("Ref:1"), xmlVBD("Ref:2", "Ref:1", "Ref:3", "0"))), ondisk.ErrCorrupt},
		"disk attached twice":  {pack(t, xmlDoc(xmlVM("a"), xmlVBD("b", "a", "d", "0"), xmlVBD("c", "a", "d", "1"), xmlVDI("d", 0))), ondisk.ErrCorrupt},
		"objects of one name":  {pack(t, xmlDoc(xmlVM("a"), xmlVDI("d", 1), xmlVDI("d", 2))), ondisk.ErrCorrupt},
		"negative size":        {pack(t, oneDisk(-1)), ondisk.ErrCorrupt},
		"size over the limit":  {pack(t, oneDisk(1<<60)), ondisk.ErrTooBig},
		"size no number":       {pack(t, strings.Replace(two, "2097152", "1e9", 1)), ondisk.ErrCorrupt},
		"xml breaks off":       {pack(t, two[:len(two)-20]), ondisk.ErrCorrupt},
		"not xml-rpc":          {pack(t, "<html/>"), ondisk.ErrCorrupt},
		"empty xml":            {pack(t, ""), ondisk.ErrCorrupt},
		"other encoding":       {pack(t, `<?xml version="1.0" encoding="utf-16"?>`+two), ondisk.ErrCorrupt},
		"entities":             {pack(t, `<!DOCTYPE x [<!ENTITY a "b">]><value>&a;</value>`), ondisk.ErrCorrupt},
		"deep":                 {pack(t, strings.Repeat("<value><array><data>", 10_000)), ondisk.ErrTooBig},
		"deep and unknown":     {pack(t, "<value><x>"+strings.Repeat("<y>", 10_000)), ondisk.ErrTooBig},
		"many values":          {pack(t, "<value><array><data>"+strings.Repeat("<value/>", maxValues+1)), ondisk.ErrTooBig},
		"many attributes":      {pack(t, "<value "+strings.Repeat(`a="" `, 10_000)+">"), ondisk.ErrTooBig},
		"text over the limit":  {pack(t, strings.Repeat(" ", 17<<20)), ondisk.ErrTooBig},
		"thousand of machines": {pack(t, xmlDoc(strings.Repeat(xmlVM("x"), 1000))), ondisk.ErrCorrupt},
	} {
		img, err := openBytes(t, c.content)
		if err == nil {
			img.Close()
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestManyPieces: the index is bounded, and chunks that cannot be put into a
// run count.
func TestManyPieces(t *testing.T) {
	const n = 3000
	var members [][]file
	chunk := make([]byte, chunkSize)
	for i := range n {
		members = append(members, chunkOf("Ref:4", i*2, noSum, nil))
	}
	members[0] = chunkOf("Ref:4", 0, noSum, chunk)
	content := pack(t, oneDisk(2*n*chunkSize), members...)
	_, err := Format{}.Open(t.Context(), imagefmttest.NewSource("x", content), imagefmt.OpenOptions{Limits: smallLimits})
	if !errors.Is(err, ondisk.ErrCorrupt) { // empty chunks take no memory, and the disk is not complete
		t.Errorf("empty chunks: %v", err)
	}
	a := &Archive{limits: ondisk.Limits{Table: 10 * runBytes}}
	a.disks = map[string]*chunkTable{"r": {ref: "r", size: 1 << 40, last: -1}}
	for i := range int64(100) {
		m := member(fmt.Sprintf("r/%08d", i*2), chunkSize, 4096+i*2*chunkSize)
		if err = a.add(m); err != nil {
			break
		}
	}
	if !errors.Is(err, ondisk.ErrTooBig) || a.runs > 11 {
		t.Errorf("%d runs: %v", a.runs, err)
	}
}

// seeds are small archives of every kind; chunks are short, since fuzzing is
// slow with long ones.
func seeds(t testing.TB) [][]byte {
	short := pattern(700, 1)
	return [][]byte{
		pack(t, oneDisk(700), chunkOf("Ref:4", 0, xxh64, short)),
		pack(t, oneDisk(700), chunkOf("Ref:4", 0, sha1Sum, short)),
		pack(t, oneDisk(700), chunkOf("Ref:4", 0, noSum, nil), chunkOf("Ref:4", 1, xxh64, short)),
		pack(t, xmlDoc(xmlVM("Ref:0"))),
	}
}

// FuzzOpen opens and reads archives that others have made up.
func FuzzOpen(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 1<<20 {
			return
		}
		content = bytes.Clone(content) // the input is not ours to change
		reseal(content)
		src := imagefmttest.NewSource("fuzz", content)
		if _, err := (Format{}).Probe(src); err != nil {
			t.Fatal(err)
		}
		a, err := Index(context.Background(), src, smallLimits)
		if err != nil {
			return
		}
		for _, d := range a.Description.Disks {
			img, err := a.Disk(context.Background(), d.Ref)
			if err != nil {
				continue
			}
			fuzzRead(t, img)
		}
	})
}

func fuzzRead(t *testing.T, img imagefmt.Image) {
	buf, steps := make([]byte, 4096), 0
	for e, err := range blockdev.Extents(context.Background(), img, 0, img.Size()) {
		if steps++; err != nil || steps > 100 {
			return
		}
		n := min(e.Len, int64(len(buf)))
		if got, err := img.ReadAt(buf[:n], e.Off); int64(got) != n && (err == nil || err == io.EOF) {
			t.Fatalf("ReadAt(%d+%d) = %d, %v", e.Off, n, got, err)
		}
		if e.Kind == blockdev.Zero && !ondisk.IsZero(buf[:n]) {
			t.Fatalf("extent %d+%d is no zeros", e.Off, e.Len)
		}
	}
}

// reseal makes headers and XXH64 checksums right again, so that mutations get
// past them.
func reseal(content []byte) {
	const block = 512
	for at := 0; at+3*block <= len(content); at += block {
		h := content[at : at+block]
		if h[0] == 0 || h[257] != 'u' {
			continue
		}
		sum := 8 * int(' ')
		for i, c := range h {
			if i < 148 || i >= 156 {
				sum += int(c)
			}
		}
		copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
		if bytes.Contains(h[:100], []byte(".xxhash")) && at >= 2*block {
			data := content[at-2*block : at-2*block+700]
			copy(content[at+block:], fmt.Sprintf("%016X", xxhash.Sum64(data)))
		}
	}
}

// FuzzDescription: any text is a description or an error, within bounds.
func FuzzDescription(f *testing.F) {
	f.Add([]byte(oneDisk(1 << 20)))
	f.Add([]byte(xmlDoc(xmlVM("Ref:1"), xmlObject("VIF", "Ref:6", "VM=Ref:1", "device=1", "network=Ref:9"), xmlObject("network", "Ref:9"))))
	f.Add(newDocument(Description{Name: "x", HVM: true, Disks: make([]Disk, 2), NICs: make([]NIC, 1)}, never0).bytes())
	f.Fuzz(func(t *testing.T, doc []byte) {
		d, sizes, err := parseDescription(doc, 512)
		if err != nil {
			if !errors.Is(err, ondisk.ErrCorrupt) && !errors.Is(err, ondisk.ErrTooBig) && !errors.Is(err, ondisk.ErrAmbiguous) {
				t.Fatalf("an error without a sentinel: %v", err)
			}
			return
		}
		for _, disk := range d.Disks {
			if size, ok := sizes[disk.Ref]; !ok || size != disk.Size || size < 0 {
				t.Fatalf("disk %+v", disk)
			}
		}
	})
}
