package kmod

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// ReadFile reads a file of a modules directory by its name, "modules.dep". A
// file that is missing is fs.ErrNotExist.
type ReadFile func(name string) ([]byte, error)

// Tree is the indexes of one modules directory. The zero value is an empty one.
// It is safe for concurrent reading.
type Tree struct {
	// Softdeps may be changed before asking: of several records of one module
	// the first counts, so those of modprobe.d(5) go to the front.
	Softdeps []Softdep

	modules        []*Module // in the order of modules.order: the first wins
	byName         map[string]*Module
	rank           map[string]int // position in modules
	aliases        []Alias
	symbols        []Alias
	builtin        map[string]bool
	builtinAliases []Alias
}

// Options of [Load]. The zero value is good.
type Options struct {
	Limits ondisk.Limits
}

// Load reads the indexes of a directory. Of an index that exists in both forms
// the binary one counts, as for libkmod; where that is missing or damaged, the
// text. A directory without modules.dep is fs.ErrNotExist; all else may be
// missing.
func Load(read ReadFile, opts Options) (*Tree, error) {
	l := loader{read, opts.Limits.OrDefault()}
	t := &Tree{}
	deps, err := l.deps()
	if err != nil {
		return nil, err
	}
	for i := range deps {
		t.add(&deps[i])
	}
	if t.aliases, err = l.aliases("modules.alias"); err != nil {
		return nil, err
	}
	if t.symbols, err = l.aliases("modules.symbols"); err != nil {
		return nil, err
	}
	if t.builtinAliases, err = l.aliases("modules.builtin.alias"); err != nil {
		return nil, err
	}
	if t.builtin, err = l.builtin(); err != nil {
		return nil, err
	}
	text, err := l.text("modules.softdep")
	t.Softdeps = ParseSoftdep(text)
	return t, missing(err)
}

func (t *Tree) add(m *Module) {
	if t.byName == nil {
		t.byName, t.rank = map[string]*Module{}, map[string]int{}
	}
	if t.byName[m.Name] != nil {
		return // the first wins
	}
	t.rank[m.Name] = len(t.modules)
	t.byName[m.Name] = m
	t.modules = append(t.modules, m)
}

// Modules are all modules, those of higher priority first.
func (t *Tree) Modules() []Module {
	all := make([]Module, len(t.modules))
	for i, m := range t.modules {
		all[i] = *m
	}
	return all
}

// Module finds a module by any spelling of its name.
func (t *Tree) Module(name string) (Module, bool) {
	if m := t.byName[Name(name)]; m != nil {
		return *m, true
	}
	return Module{}, false
}

// Builtin reports whether the kernel itself holds the module.
func (t *Tree) Builtin(name string) bool { return t.builtin[Name(name)] }

// loader reads one index in whichever form there is.
type loader struct {
	read   ReadFile
	limits ondisk.Limits
}

func (l loader) text(name string) ([]byte, error) {
	data, err := l.read(name)
	if err == nil && int64(len(data)) > l.limits.Text {
		return nil, ondisk.At("kmod", name, ondisk.NoOffset).TooBig("%d bytes", len(data))
	}
	return data, err
}

// record is one key of an index.
type record struct {
	key    string
	values []Value
}

// either reads the binary form, whose records are then not nil, or else the
// text, which is nil where the file is missing. Damage in the binary form
// counts only where there is no text.
func (l loader) either(name string) (records []record, text []byte, err error) {
	data, binErr := l.read(name + ".bin")
	if binErr == nil {
		records = []record{}
		binErr = walkIndex(data, l.limits, func(key string, values []Value) error {
			records = append(records, record{key, values})
			return nil
		})
	}
	if binErr == nil {
		return records, nil, nil
	}
	text, err = l.text(name)
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(binErr, fs.ErrNotExist) {
		err = ondisk.At("kmod", name+".bin", ondisk.NoOffset).Wrap(binErr)
	}
	return nil, text, err
}

func (l loader) deps() ([]Module, error) {
	records, text, err := l.either("modules.dep")
	if err != nil {
		return nil, err
	}
	if records == nil {
		return ParseDep(text)
	}
	slices.SortStableFunc(records, func(a, b record) int { return cmp.Compare(a.values[0].Priority, b.values[0].Priority) })
	all := make([]Module, 0, len(records))
	for _, r := range records {
		m, err := ParseDep([]byte(r.values[0].Text))
		if err != nil || len(m) != 1 {
			return nil, ondisk.At("kmod", "modules.dep.bin", ondisk.NoOffset).Corrupt("record %q", r.values[0].Text)
		}
		all = append(all, m[0])
	}
	return all, nil
}

// aliases returns them in the order of their modules. The index counts; the
// text beside it tells how its keys were spelled.
func (l loader) aliases(name string) ([]Alias, error) {
	records, text, err := l.either(name)
	if missing(err) != nil {
		return nil, err
	}
	if records == nil {
		return ParseAlias(text), nil
	}
	if text, err = l.text(name); missing(err) != nil {
		return nil, err
	}
	spelled := spellings(text)
	type ranked struct {
		Alias
		priority uint32
		seq      int
	}
	all := make([]ranked, 0, len(records))
	for _, r := range records {
		for _, v := range slices.Backward(r.values) { // equal ones stand in reverse
			a := Alias{r.key, v.Text}
			if raw, ok := spelled[a]; ok {
				a.Pattern = raw
			}
			all = append(all, ranked{a, v.Priority, len(all)})
		}
	}
	slices.SortFunc(all, func(a, b ranked) int { return cmp.Or(cmp.Compare(a.priority, b.priority), a.seq-b.seq) })
	out := make([]Alias, len(all))
	for i, a := range all {
		out[i] = a.Alias
	}
	return out, nil
}

// spellings maps aliases that an index spells in another way to those of the text.
func spellings(text []byte) map[Alias]string {
	out := map[Alias]string{}
	for line := range bytes.Lines(text) {
		if bytes.IndexByte(line, '-') < 0 {
			continue
		}
		for _, a := range ParseAlias(line) {
			out[Alias{NormalAlias(a.Pattern), a.Module}] = a.Pattern
		}
	}
	return out
}

func (l loader) builtin() (map[string]bool, error) {
	records, text, err := l.either("modules.builtin")
	if missing(err) != nil {
		return nil, err
	}
	set := map[string]bool{}
	for _, p := range ParseOrder(text) {
		set[Name(p)] = true
	}
	for _, r := range records {
		set[r.key] = true
	}
	return set, nil
}

// missing forgives that a file is not there.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// rankOf is the priority of a module's aliases; that of unknown ones is last.
func rankOf(rank map[string]int, module string) int {
	if r, ok := rank[Name(module)]; ok {
		return r
	}
	return math.MaxInt32
}

// root is the directory that absolute paths of the tree begin with, or "".
func (t *Tree) root() string {
	for _, m := range t.modules {
		if !path.IsAbs(m.Path) {
			continue
		}
		head, rest, ok := strings.Cut(m.Path, "/lib/modules/")
		version, _, deeper := strings.Cut(rest, "/")
		if ok && deeper {
			return head + "/lib/modules/" + version
		}
	}
	return ""
}
