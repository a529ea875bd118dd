package journal

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pierrec/lz4/v4"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// remote writes journals from the export format (docs/JOURNAL_EXPORT_FORMATS.md
// of systemd) without a running journald.
const remote = "/lib/systemd/systemd-journal-remote"

// writeJournal makes a journal of one entry for each message.
func writeJournal(t testing.TB, env []string, args []string, messages ...string) string {
	t.Helper()
	if _, err := os.Stat(remote); err != nil {
		t.Fatalf("this test needs %s: run scripts/setup, or install the Debian package systemd-journal-remote", remote)
	}
	var b bytes.Buffer
	for i, m := range messages {
		put := func(name, v string) {
			b.WriteString(name + "\n")
			b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(v))))
			b.WriteString(v + "\n")
		}
		b.WriteString("__REALTIME_TIMESTAMP=17638000000000")
		b.WriteString(string(rune('0'+i/10)) + string(rune('0'+i%10)) + "\n")
		b.WriteString("__MONOTONIC_TIMESTAMP=1" + string(rune('0'+i/10)) + string(rune('0'+i%10)) + "\n")
		b.WriteString("_BOOT_ID=00112233445566778899aabbccddeeff\n")
		put("MESSAGE", m)
		put("_HOSTNAME", "guest")
		b.WriteString("\n")
	}
	path := filepath.Join(t.TempDir(), "a.journal")
	cmd := exec.Command(remote, append(args, "--split-mode=none", "-o", path, "-")...)
	cmd.Env, cmd.Stdin = append(os.Environ(), env...), &b
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func open(t testing.TB, p []byte) *File {
	t.Helper()
	f, err := Open(blockdev.FromBytes(p), ondisk.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// messages are those of all entries that can be read.
func messages(t testing.TB, p []byte) []string {
	t.Helper()
	var out []string
	for e, err := range Merge([]*File{open(t, p)}, MergeOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		fields, err := e.Fields()
		if err != nil {
			t.Error(err)
		}
		for _, f := range fields {
			if f.Name == "MESSAGE" {
				out = append(out, string(f.Value))
			}
		}
	}
	return out
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func equal(t *testing.T, got, want []string) {
	t.Helper()
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %.200q, want %.200q", got, want)
	}
}

var texts = []string{"first", strings.Repeat("compress me ", 400), "third\nline", "\xff\x00binary"}

// TestLayouts reads every layout that systemd 252 writes.
func TestLayouts(t *testing.T) {
	for _, keyed := range []string{"0", "1"} {
		for _, compact := range []string{"0", "1"} {
			for _, compress := range []string{"no", "yes"} {
				p := read(t, writeJournal(t, []string{"SYSTEMD_JOURNAL_KEYED_HASH=" + keyed, "SYSTEMD_JOURNAL_COMPACT=" + compact},
					[]string{"--compress=" + compress}, texts...))
				f := open(t, p)
				if (f.header.Incompatible&flagKeyed != 0) != (keyed == "1") || f.compact() != (compact == "1") ||
					(f.header.Incompatible&flagZSTD != 0) != (compress == "yes") {
					t.Errorf("the flags are %#x", f.header.Incompatible)
				}
				equal(t, messages(t, p), texts)
			}
		}
	}
}

// repack puts other bytes in place of a payload that is not longer, as if they had
// been written with that method.
func repack(t *testing.T, p, plain, packed []byte, method uint8) []byte {
	t.Helper()
	p = bytes.Clone(p)
	at := bytes.Index(p, plain)
	if at < 0 || len(packed) > len(plain) {
		t.Fatal("no room for the packed payload")
	}
	object := at - dataSize
	copy(p[at:], packed)
	p[object+1] = method
	binary.LittleEndian.PutUint64(p[object+8:], uint64(dataSize+len(packed)))
	p[12] |= method // the incompatible flags have the same bits
	return p
}

// TestOldCompression: systemd 252 writes ZSTD only, older ones XZ and LZ4. What
// takes the place of a payload is judged by journalctl, too.
func TestOldCompression(t *testing.T) {
	testtool.Need(t, "journalctl", "xz")
	plain := []byte("MESSAGE=" + texts[1])
	p := read(t, writeJournal(t, []string{"SYSTEMD_JOURNAL_COMPACT=0"}, []string{"--compress=no"}, texts...))

	block := make([]byte, lz4.CompressBlockBound(len(plain)))
	n, err := lz4.CompressBlock(plain, block, nil)
	if err != nil || n == 0 {
		t.Fatal(n, err)
	}
	packed := append(binary.LittleEndian.AppendUint64(nil, uint64(len(plain))), block[:n]...)
	check(t, repack(t, p, plain, packed, packedLZ4))

	cmd := exec.Command("xz", "--format=xz", "--check=none", "-c")
	cmd.Stdin = bytes.NewReader(plain)
	if packed, err = cmd.Output(); err != nil {
		t.Fatal(err)
	}
	check(t, repack(t, p, plain, packed, packedXZ))
}

// check compares what journalctl prints with what we read.
func check(t *testing.T, p []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b.journal")
	if err := os.WriteFile(path, p, 0o600); err != nil {
		t.Fatal(err)
	}
	want := testtool.Run(t, "journalctl", "--file", path, "-o", "cat", "--no-pager")
	if got := strings.Join(messages(t, p), "\n") + "\n"; got != want {
		t.Errorf("got %.100q, journalctl %.100q", got, want)
	}
	equal(t, messages(t, p), texts)
}

// TestTorn reads what is left of files that were cut off or damaged: no entry that
// is whole is lost to one that is not.
func TestTorn(t *testing.T) {
	p := read(t, writeJournal(t, nil, nil, texts...))
	p[16] = 1 // online: nobody closed it
	equal(t, messages(t, p), texts)

	broken := bytes.Clone(p)
	array := binary.LittleEndian.Uint64(p[176:])
	broken[array] = 77
	f := open(t, broken)
	if f.Broken() == nil {
		t.Error("the broken array was not seen")
	}
	equal(t, messages(t, broken), texts)

	// The second entry points nowhere.
	torn := bytes.Clone(p)
	size := f.offsetSize()
	clear(torn[int64(array)+arraySize+size:][:size])
	torn[int64(array)+arraySize+size] = 3
	told := 0
	var got []string
	for e, err := range Merge([]*File{open(t, torn)}, MergeOptions{Torn: func(*File, error) { told++ }}) {
		if err != nil {
			t.Fatal(err)
		}
		fields, _ := e.Fields()
		got = append(got, string(fields[0].Value))
	}
	if len(got) != len(texts)-1 || told != 1 {
		t.Errorf("%d entries, %d torn: %.100q", len(got), told, got)
	}
	for _, cut := range []int{0, 100, headerMin, len(p) / 1000, len(p) / 2} {
		if f, err := Open(blockdev.FromBytes(p[:cut]), ondisk.Limits{}); err == nil {
			for i := range f.Len() {
				f.Entry(i)
			}
		}
	}
}

// TestMerge: the same entries in two files come once, backward is the reverse.
func TestMerge(t *testing.T) {
	path := writeJournal(t, nil, nil, "a", "b", "c")
	a, b := open(t, read(t, path)), open(t, read(t, path))
	c := open(t, read(t, writeJournal(t, nil, nil, "x", "y")))
	var forward, backward []string
	for e := range Merge([]*File{a, c, b}, MergeOptions{}) {
		forward = append(forward, e.Cursor())
	}
	for e := range Merge([]*File{c, b, a}, MergeOptions{Backward: true}) {
		backward = append([]string{e.Cursor()}, backward...)
	}
	if len(forward) != 5 {
		t.Errorf("%d entries", len(forward))
	}
	equal(t, backward, forward)
}

func TestLayoutSizes(t *testing.T) {
	for _, test := range []struct {
		v    any
		want int
	}{{header{}, headerMin}, {objectHead{}, objectHeadSize}, {entryHead{}, entrySize}, {arrayHead{}, arraySize}} {
		if got := binary.Size(test.v); got != test.want {
			t.Errorf("%T: %d bytes, want %d", test.v, got, test.want)
		}
	}
}

// TestEntryDecoder compares the hand decoder with the declared layout.
func TestEntryDecoder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		p := make([]byte, headerMin+entrySize+itemSize)
		for i := range p[headerMin:] {
			p[headerMin+i] = byte(rng.Uint32())
		}
		p[headerMin] = typeEntry
		binary.LittleEndian.PutUint64(p[headerMin+8:], entrySize+itemSize)
		f := &File{dev: newPages(blockdev.FromBytes(p)), index: []uint64{headerMin}, limits: ondisk.DefaultLimits}
		f.header.HeaderSize = headerMin
		var want entryHead
		if _, err := binary.Decode(p[headerMin:], binary.LittleEndian, &want); err != nil {
			t.Fatal(err)
		}
		e, err := f.Entry(0)
		if err != nil || e.Seqnum != want.Seqnum || e.Realtime != want.Realtime || e.Monotonic != want.Monotonic || e.Boot != want.Boot || e.Hash != want.Hash || e.items != 1 {
			t.Fatalf("%+v, want %+v, %v", e, want, err)
		}
	}
}
