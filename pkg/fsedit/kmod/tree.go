package kmod

import (
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
	if t.aliases, err = l.aliases("modules.alias", t.rank); err != nil {
		return nil, err
	}
	if t.symbols, err = l.aliases("modules.symbols", t.rank); err != nil {
		return nil, err
	}
	if t.builtinAliases, err = l.aliases("modules.builtin.alias", t.rank); err != nil {
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

// index reads NAME.bin; nil where the text is to be used.
func (l loader) index(name string) (*Index, error) {
	data, err := l.read(name + ".bin")
	if err != nil {
		return nil, err
	}
	return ParseIndex(data, l.limits)
}

// either reads the binary form or else the text; both are nil where the file is
// missing. Damage in the binary form counts only where there is no text.
func (l loader) either(name string) (*Index, []byte, error) {
	x, binErr := l.index(name)
	if binErr == nil {
		return x, nil, nil
	}
	text, err := l.text(name)
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(binErr, fs.ErrNotExist) {
		err = ondisk.At("kmod", name+".bin", ondisk.NoOffset).Wrap(binErr)
	}
	return nil, text, err
}

func (l loader) deps() ([]Module, error) {
	x, text, err := l.either("modules.dep")
	if err != nil {
		return nil, err
	}
	if x == nil {
		return ParseDep(text)
	}
	type ranked struct {
		Module
		priority uint32
	}
	var all []ranked
	for _, values := range x.All() {
		for _, v := range values[:min(1, len(values))] {
			m, err := ParseDep([]byte(v.Text))
			if err != nil || len(m) != 1 {
				return nil, ondisk.At("kmod", "modules.dep.bin", ondisk.NoOffset).Corrupt("record %q", v.Text)
			}
			all = append(all, ranked{m[0], v.Priority})
		}
	}
	slices.SortStableFunc(all, func(a, b ranked) int { return compare(a.priority, b.priority) })
	out := make([]Module, len(all))
	for i, r := range all {
		out[i] = r.Module
	}
	return out, nil
}

// aliases returns them in the order of the text: by module, and as inserted.
// The index counts; the text tells how its keys were spelled.
func (l loader) aliases(name string, rank map[string]int) ([]Alias, error) {
	x, text, err := l.either(name)
	if missing(err) != nil {
		return nil, err
	}
	if x == nil {
		return ParseAlias(text), nil
	}
	if text, err = l.text(name); missing(err) != nil {
		return nil, err
	}
	left := map[Alias]int{}
	for key, values := range x.All() {
		for _, v := range values {
			left[Alias{key, v.Text}]++
		}
	}
	var all []Alias
	for _, a := range ParseAlias(text) {
		if normal := (Alias{NormalAlias(a.Pattern), a.Module}); left[normal] > 0 {
			left[normal]--
			all = append(all, a)
		}
	}
	for key, values := range x.All() {
		for _, v := range slices.Backward(values) { // equal ones stand in reverse
			if a := (Alias{key, v.Text}); left[a] > 0 {
				left[a]--
				all = append(all, a)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Alias) int { return rankOf(rank, a.Module) - rankOf(rank, b.Module) })
	return all, nil
}

func (l loader) builtin() (map[string]bool, error) {
	x, text, err := l.either("modules.builtin")
	if missing(err) != nil {
		return nil, err
	}
	set := map[string]bool{}
	if x == nil {
		for _, p := range ParseOrder(text) {
			set[Name(p)] = true
		}
		return set, nil
	}
	for key := range x.All() {
		set[key] = true
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

func compare(a, b uint32) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
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
