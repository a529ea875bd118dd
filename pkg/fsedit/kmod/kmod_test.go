package kmod

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// host is a modules directory of a Debian kernel and its version.
func host(t testing.TB) (dir, version string) {
	t.Helper()
	all, _ := filepath.Glob("/lib/modules/*/modules.dep.bin")
	if len(all) == 0 {
		t.Fatal("this test needs the Debian package linux-image-amd64")
	}
	dir = filepath.Dir(all[len(all)-1])
	return dir, filepath.Base(dir)
}

func reader(dir string) ReadFile {
	return func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, name)) }
}

// only hides either form of the indexes.
func only(read ReadFile, bin bool) ReadFile {
	return func(name string) ([]byte, error) {
		if strings.HasSuffix(name, ".bin") != bin && name != "modules.softdep" {
			return nil, fs.ErrNotExist
		}
		return read(name)
	}
}

func load(t testing.TB, read ReadFile) *Tree {
	t.Helper()
	tree, err := Load(read, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func files(t testing.TB, tree *Tree) map[string][]byte {
	t.Helper()
	out, err := tree.Files()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestHostIndexesByteForByte writes depmod's own indexes again from either form.
func TestHostIndexesByteForByte(t *testing.T) {
	dir, _ := host(t)
	for _, bin := range []bool{false, true} {
		for name, got := range files(t, load(t, only(reader(dir), bin))) {
			want, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if bin && (name == "modules.alias" || name == "modules.symbols") {
				continue // the index has no order among the aliases of one module
			}
			if !bytes.Equal(got, want) {
				t.Errorf("bin %v: %s: %d bytes differ from depmod's %d", bin, name, len(got), len(want))
			}
		}
	}
}

// paths runs modprobe --show-depends and returns the files that it would load.
func paths(t testing.TB, root, version, name string) []string {
	t.Helper()
	out := testtool.Run(t, "modprobe", "-d", root, "-S", version, "-C", "/dev/null", "--show-depends", name)
	var all []string
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "insmod" && !slices.Contains(all, filepath.Clean(f[1])) {
			all = append(all, filepath.Clean(f[1]))
		}
	}
	return all
}

func TestClosureAgreesWithModprobe(t *testing.T) {
	dir, version := host(t)
	tree := load(t, reader(dir))
	names := []string{"virtio_blk", "virtio-pci", "virtio_scsi", "virtio_net", "nvme", "ahci", "sd_mod", "btrfs", "ext4", "xfs", "hv_storvsc", "mptsas", "nfs", "dm-crypt", "amdgpu", "libcrc32c"}
	for i, m := range tree.Modules() {
		if i%97 == 0 {
			names = append(names, m.Name)
		}
	}
	for _, name := range names {
		got, err := tree.Closure(name)
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for _, m := range got {
			have = append(have, filepath.Join(dir, m.Path))
		}
		if want := paths(t, "/", version, name); !slices.Equal(have, want) {
			t.Errorf("%s:\n%q\n%q", name, have, want)
		}
	}
	if !tree.Builtin("ext2") && !tree.Builtin("unix") {
		t.Error("neither ext2 nor unix is built in")
	}
	if _, err := tree.Closure("no_such_module"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// reduced copies modules into a directory as an initramfs has it and lets
// depmod index it; it returns the directory of the modules.
func reduced(t testing.TB, from, version string, modules []Module) (root, dir string) {
	t.Helper()
	root = t.TempDir()
	dir = filepath.Join(root, "lib/modules", version)
	for _, m := range modules {
		to := filepath.Join(dir, PlainPath(m.Path))
		data, err := os.ReadFile(filepath.Join(from, m.Path))
		if err == nil {
			data, err = Decompress(data, ondisk.Limits{})
		}
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o755)
		}
		if err == nil {
			err = os.WriteFile(to, data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"modules.order", "modules.builtin", "modules.builtin.modinfo"} {
		testtool.Run(t, "cp", filepath.Join(from, name), dir)
	}
	testtool.Run(t, "depmod", "-b", root, version)
	return root, dir
}

func closure(t testing.TB, tree *Tree, names ...string) []Module {
	t.Helper()
	all, err := tree.Closure(names...)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func names(modules []Module) (all []string) {
	for _, m := range modules {
		all = append(all, m.Name)
	}
	return all
}

// TestMergeAgreesWithDepmod adds virtio, NVMe and AHCI to a small initramfs. Its
// indexes must be those that depmod makes of the same files, and modprobe must
// answer from the binary ones alone as it does from depmod's.
func TestMergeAgreesWithDepmod(t *testing.T) {
	from, version := host(t)
	root := load(t, reader(from))
	small := closure(t, root, "xen_blkfront", "ext4", "loop")
	inject := closure(t, root, "virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net", "sd_mod", "nvme", "ahci", "crc32c")
	_, base := reduced(t, from, version, small)
	wantRoot, want := reduced(t, from, version, append(slices.Clone(small), inject...))

	for _, bin := range []bool{false, true} {
		merged, err := Merge(load(t, only(reader(base), bin)), root, names(inject))
		if err != nil {
			t.Fatal(err)
		}
		out := files(t, merged)
		for _, name := range slices.Sorted(maps.Keys(out)) {
			judge, err := os.ReadFile(filepath.Join(want, name))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(lineSet(t, name, out[name]), lineSet(t, name, judge)) {
				t.Errorf("bin %v: %s differs from depmod's", bin, name)
			}
		}
		if bin {
			askModprobe(t, wantRoot, version, merged, out)
		}
	}
}

// lineSet takes out of a file what depmod may order one way or another: the
// lines of texts, and the words of a record, of which several orders are right.
func lineSet(t *testing.T, name string, data []byte) []byte {
	if strings.HasSuffix(name, ".bin") {
		x, err := ParseIndex(data, ondisk.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if name != "modules.dep.bin" {
			return data
		}
		var out []string
		for key, values := range x.All() {
			for _, v := range values {
				out = append(out, fmt.Sprint(key, v.Priority, words(v.Text)))
			}
		}
		return []byte(strings.Join(out, "\n"))
	}
	all := slices.Collect(strings.Lines(string(data)))
	if name == "modules.dep" {
		for i := range all {
			all[i] = words(all[i])
		}
	} else { // an index does not tell how its keys were spelled
		for i := range all {
			all[i] = NormalAlias(all[i])
		}
		slices.Sort(all)
	}
	return []byte(strings.Join(all, "\n"))
}

func words(line string) string {
	f := strings.Fields(line)
	slices.Sort(f)
	return strings.Join(f, " ")
}

// askModprobe compares answers over our binary indexes with those over depmod's.
func askModprobe(t *testing.T, judge, version string, tree *Tree, out map[string][]byte) {
	ours := t.TempDir()
	dir := filepath.Join(ours, "lib/modules", version)
	testtool.Run(t, "mkdir", "-p", dir)
	theirs := filepath.Join(judge, "lib/modules", version)
	testtool.Run(t, "sh", "-c", "cp -rl "+theirs+"/kernel "+theirs+"/modules.builtin*.bin "+dir)
	for name, data := range out {
		if strings.HasSuffix(name, ".bin") || name == "modules.softdep" {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	theirTree := load(t, reader(theirs))
	for _, m := range tree.Modules() {
		got, want := paths(t, ours, version, m.Name), paths(t, judge, version, m.Name)
		loaded := map[string]bool{}
		for _, p := range got {
			there, _ := theirTree.Module(p)
			for _, dep := range there.Deps {
				if !loaded[Name(dep)] {
					t.Errorf("%s: %s is loaded before %s", m.Name, there.Name, dep)
				}
			}
			loaded[there.Name] = true
		}
		have := strings.ReplaceAll(words(strings.Join(got, " ")), ours, judge)
		if have != words(strings.Join(want, " ")) || len(got) == 0 {
			t.Errorf("%s: %q, want %q", m.Name, got, want)
		}
	}
	for _, a := range tree.aliases {
		asked := strings.NewReplacer("*", "0", "?", "0").Replace(a.Pattern)
		want := resolve(t, judge, version, asked)
		if got := resolve(t, ours, version, asked); !slices.Equal(got, want) {
			t.Errorf("alias %s: %q, want %q", asked, got, want)
		}
		if got := tree.Resolve(asked); !slices.Equal(got, want) {
			t.Errorf("alias %s: we say %q, modprobe %q", asked, got, want)
		}
	}
}

func resolve(t testing.TB, root, version, alias string) []string {
	t.Helper()
	out, _ := exec.Command("modprobe", "-d", root, "-S", version, "-C", "/dev/null", "-R", alias).Output()
	var all []string
	for _, name := range strings.Fields(string(out)) {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

func TestResolveOnHost(t *testing.T) {
	dir, version := host(t)
	tree := load(t, reader(dir))
	for _, alias := range []string{
		"pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00", "virtio:d00000002v00001AF4",
		"pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", "pci:v0000FFFFd00001001sv00001AF4sd00000002bc01sc08i02",
		"xen:vbd", "fs-ext4", "crypto-crc32c", "symbol:virtio_check_driver_offered_feature", "net-pf-16-proto-16-family-nl80211",
		"acpi:PNP0C0A:", "dmi:bvnX:bvrY", "virtio-blk", "usb:v1D6Bp0002d0510dc09dsc00dp01ic09isc00ip00in00",
	} {
		if got, want := tree.Resolve(alias), resolve(t, "/", version, alias); !slices.Equal(got, want) {
			t.Errorf("%s: %q, modprobe says %q", alias, got, want)
		}
	}
}

func TestAbsolutePathsStay(t *testing.T) {
	root := &Tree{}
	root.add(&Module{Name: "a", Path: "kernel/a.ko.xz", Deps: []string{"kernel/b.ko.xz"}})
	root.add(&Module{Name: "b", Path: "kernel/b.ko.xz"})
	base := &Tree{}
	base.add(&Module{Name: "b", Path: "/lib/modules/2.6.32/kernel/b.ko"})
	merged, err := Merge(base, root, []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	want := "/lib/modules/2.6.32/kernel/a.ko: /lib/modules/2.6.32/kernel/b.ko\n/lib/modules/2.6.32/kernel/b.ko:\n"
	if got := string(files(t, merged)["modules.dep"]); got != want {
		t.Errorf("%s", got)
	}
	if _, err := Merge(&Tree{}, root, []string{"a"}); !errors.Is(err, ondisk.ErrCorrupt) {
		t.Error("not closed:", err)
	}
}

func TestModinfo(t *testing.T) {
	dir, version := host(t)
	tree := load(t, reader(dir))
	for _, name := range []string{"virtio_blk", "nvme", "ext4", "amdgpu", "libcrc32c"} {
		m, ok := tree.Module(name)
		if !ok {
			t.Fatal(name)
		}
		file := filepath.Join(dir, m.Path)
		packed, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := Decompress(packed, ondisk.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		info, err := ReadInfo(plain)
		if err != nil {
			t.Fatal(err)
		}
		field := func(key string) []string { return strings.Fields(testtool.Run(t, "modinfo", "-F", key, file)) }
		for key, got := range map[string][]string{"alias": info.Aliases, "firmware": info.Firmware} {
			if want := field(key); !slices.Equal(got, want) {
				t.Errorf("%s: %s: %q, want %q", name, key, got, want)
			}
		}
		if want := strings.Join(field("depends"), ""); strings.Join(info.Depends, ",") != want {
			t.Errorf("%s: depends %q, want %q", name, info.Depends, want)
		}
		if info.Name != name || !strings.HasPrefix(info.Vermagic, version) || info.Machine.String() != "EM_X86_64" || !info.InTree {
			t.Errorf("%+v", info)
		}
		for _, tool := range [][]string{{"xz", "--check=crc32", "-c"}, {"gzip", "-c"}, {"zstd", "-qc"}} {
			cmd := exec.Command(tool[0], append(tool[1:], "-")...)
			cmd.Stdin = bytes.NewReader(plain[:min(len(plain), 200_000)])
			small, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := Decompress(small, ondisk.Limits{}); err != nil || !bytes.Equal(got, plain[:min(len(plain), 200_000)]) {
				t.Error(tool, err)
			}
			if _, err := Decompress(small, ondisk.Limits{File: 1000}); !errors.Is(err, ondisk.ErrTooBig) {
				t.Error(tool, err)
			}
			if _, err := Decompress(small[:len(small)/2], ondisk.Limits{}); !errors.Is(err, ondisk.ErrCorrupt) {
				t.Error(tool, err)
			}
		}
	}
}

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"*", "", true}, {"a*", "abc", true}, {"*c", "abc", true}, {"a*c*e", "abcde", true}, {"a*d", "abc", false},
		{"?", "", false}, {"a?c", "abc", true}, {"[a-c]x", "bx", true}, {"[!a-c]x", "bx", false}, {"[]x]", "]", true},
		{"[a", "[a", true}, {`\*`, "*", true}, {`\*`, "a", false}, {"**a", "ba", true}, {"a", "ab", false}, {"[a-]", "-", true},
	} {
		if got := match(tc.pattern, tc.s); got != tc.want {
			t.Errorf("%q %q: %v", tc.pattern, tc.s, got)
		}
	}
}

func TestIndexRefusals(t *testing.T) {
	var x Index
	x.Insert("key", "value", 7)
	good, err := x.Encode()
	if err != nil {
		t.Fatal(err)
	}
	old := append([]byte{0xB0, 0x07, 0xFA, 0x57}, good[4:]...)
	version := bytes.Clone(good)
	version[5] = 9
	loop := bytes.Clone(good)
	copy(loop[len(loop)-4-4:], good[8:12])
	for name, tc := range map[string]struct {
		data []byte
		want error
	}{
		"old":     {old, ondisk.ErrUnsupported},
		"version": {version, ondisk.ErrUnsupported},
		"text":    {[]byte("alias a b\n"), ondisk.ErrFormat},
		"short":   {good[:14], ondisk.ErrCorrupt},
		"root":    {append(bytes.Clone(good[:8]), 0x80, 0xff, 0xff, 0xff), ondisk.ErrCorrupt},
	} {
		if _, err := ParseIndex(tc.data, ondisk.Limits{}); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	x.Insert("caf\xe9", "v", 0)
	if _, err := x.Encode(); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Error(err)
	}
	// A damaged index gives way to the text, and counts where there is none.
	read := func(name string) ([]byte, error) {
		switch name {
		case "modules.dep.bin":
			return old, nil
		case "modules.dep":
			return []byte("kernel/a.ko: kernel/b.ko\nkernel/b.ko:\n"), nil
		}
		return nil, fs.ErrNotExist
	}
	if tree := load(t, read); len(tree.Modules()) != 2 {
		t.Error(tree.Modules())
	}
	if _, err := Load(only(read, true), Options{}); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Error(err)
	}
	if _, err := Load(func(string) ([]byte, error) { return nil, fs.ErrNotExist }, Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestParentFirst reads an index in the order that kmod 31 and later write.
func TestParentFirst(t *testing.T) {
	data := []byte("\xb0\x07\xf4\x57\x00\x02\x00\x01\x20\x00\x00\x0c" + // root at 12: children
		"ab\xc0\x00\x00\x16\x40\x00\x00\x22" + // from a to b
		"x\x00" + "\x00\x00\x00\x01\x00\x00\x00\x05" + "1\x00" + // 22: prefix x, one value
		"\x00\x00\x00\x01\x00\x00\x00\x06" + "2\x00") // 34
	x, err := ParseIndex(data, ondisk.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if x.Len() != 2 || x.Lookup("ax")[0] != (Value{5, "1"}) || x.Lookup("b")[0] != (Value{6, "2"}) {
		t.Error(x.values)
	}
}

func FuzzParseIndex(f *testing.F) {
	var x Index
	for _, key := range []string{"virtio", "virtio_blk", "virtio_pci", "ext4", "e"} {
		x.Insert(key, key+".ko:", 1)
	}
	seed, _ := x.Encode()
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := ParseIndex(data, ondisk.Limits{})
		if err != nil {
			return
		}
		out, err := x.Encode()
		if err != nil {
			return
		}
		again, err := ParseIndex(out, ondisk.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for key, values := range x.All() {
			if len(values) > 0 && !slices.Equal(again.Lookup(key), values) {
				t.Fatalf("%q: %v, want %v", key, again.Lookup(key), values)
			}
		}
	})
}

func FuzzReadInfo(f *testing.F) {
	f.Add([]byte("\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 80)))
	f.Fuzz(func(t *testing.T, data []byte) { ReadInfo(data) })
}

func FuzzText(f *testing.F) {
	f.Add([]byte("a/b.ko: c.ko\nalias a* b\nsoftdep a pre: b post: c\n"), "a-*[x")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		ParseDep(data)
		ParseSoftdep(data)
		tree := &Tree{aliases: ParseAlias(data)}
		tree.Resolve(name)
	})
}

func BenchmarkLoad(b *testing.B) {
	dir, _ := host(b)
	for b.Loop() {
		load(b, reader(dir))
	}
}
