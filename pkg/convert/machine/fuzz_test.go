package machine_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/convert/machine"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var fuzzLimits = ondisk.Limits{VirtualSize: 1 << 40, Table: 1 << 18, Cache: 1 << 20, Text: 1 << 18, Chain: 8, Entries: 1000}

// FuzzOpen opens any bytes as a machine, beside a small disk.
func FuzzOpen(f *testing.F) {
	disk := imagefmttest.Pattern(0, 1024, 1)
	ovf := file{"web.ovf", descriptor("d.img", "")}
	f.Add(archive(f, tar.FormatUSTAR, ovf, file{"web.mf", manifest("SHA1", ovf)}, file{"d.img", disk}))
	f.Add(archive(f, tar.FormatPAX, file{"a/web.ovf", descriptor(`d.img" ovf:compression="gzip`)}, file{"a/d.img", gzipped(f, disk)}))
	f.Add(archive(f, tar.FormatUSTAR, file{"web.ovf", bytes.Replace(descriptor("d"), []byte("<File "), []byte(`<File ovf:size="9" ovf:chunkSize="8" `), 1)},
		file{"d.000000000", disk[:8]}, file{"d.000000001", disk[:1]}))
	f.Add(archive(f, tar.FormatUSTAR, append(append([]file{{"ova.xml", export(1024)}}, chunks("Ref:10", disk)...), chunks("Ref:11", disk)...)...))
	f.Add(ovf.data)
	f.Add([]byte(envelope("<VirtualSystemCollection>"+virtualSystem("a", 1, 1)+virtualSystem("b", 2, 1)+"</VirtualSystemCollection>", "d.img", "d%2eimg")))
	f.Add(fmt.Appendf(nil, vmxText, "d.img"))
	f.Add(fmt.Appendf(nil, xlText, "d.img"))
	f.Add(fmt.Appendf(nil, xmlText, "", "d.img"))
	f.Fuzz(func(t *testing.T, content []byte) {
		folder := imagefmttest.NewFolder()
		folder.Put("d.img", disk)
		src := folder.Put("web.ovf", reseal(content))
		o := options()
		o.Image.Limits = fuzzLimits
		describeAny(t, src, o)
		m, err := machine.Open(t.Context(), src, o)
		if err != nil {
			return
		}
		defer m.Close()
		readEnds(t, m)
		m.Verify(t.Context(), fuzzLimits)
	})
}

// reseal gives the headers of an archive the checksums that they need.
func reseal(content []byte) []byte {
	content = bytes.Clone(content)
	for off, n := 0, 0; off+512 <= len(content) && n < 64; n++ {
		h := content[off : off+512]
		if bytes.Count(h, []byte{0}) == 512 || !bytes.Contains(h[257:263], []byte("ustar")) {
			break
		}
		copy(h[148:156], "        ")
		sum := 0
		for _, c := range h {
			sum += int(c)
		}
		copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
		size, err := strconv.ParseInt(strings.Trim(string(h[124:136]), " \x00"), 8, 32)
		if err != nil || size < 0 {
			break
		}
		off += 512 + int(size+511)/512*512
	}
	return content
}

func describeAny(t *testing.T, src imagefmt.Source, o machine.Options) {
	kind, err := machine.KindOf(t.Context(), src, o)
	if err != nil || kind == machine.Image {
		return
	}
	if s, err := machine.Describe(t.Context(), src, o); err == nil && len(s.Disks) != len(s.VM.Disks) {
		t.Errorf("%d disks are described, and there are %d", len(s.Disks), len(s.VM.Disks))
	}
}

// readEnds reads the first and the last sector of each disk, which may fail.
func readEnds(t *testing.T, m *machine.Machine) {
	if len(m.Disks) == 0 || len(m.Disks) > 256 {
		t.Errorf("%d disks", len(m.Disks))
	}
	for _, d := range m.Disks {
		size := d.Image.Size()
		if size < 0 || size > fuzzLimits.VirtualSize {
			t.Errorf("a disk of %d bytes", size)
		}
		p := make([]byte, min(512, size))
		for _, off := range []int64{0, size - int64(len(p))} {
			if n, err := d.Image.ReadAt(p, off); err == nil && n < len(p) || errors.Is(err, io.EOF) && off+int64(n) < size {
				t.Errorf("%d of %d bytes at %d: %v", n, len(p), off, err)
			}
		}
	}
}
