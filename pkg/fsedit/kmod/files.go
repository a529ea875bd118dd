package kmod

import (
	"bytes"
	"fmt"
	"strings"
)

// Files writes the indexes of the tree, by file name: modules.dep,
// modules.alias and modules.symbols as text and as .bin, and modules.softdep.
// modules.symbols is left out where the tree has none.
func (t *Tree) Files() (map[string][]byte, error) {
	out := map[string][]byte{"modules.softdep": t.softdepText()}
	dep, err := t.depIndex().Encode()
	if err != nil {
		return nil, err
	}
	out["modules.dep"], out["modules.dep.bin"] = t.depText(), dep
	err = t.aliasFiles(out, "modules.alias", "# Aliases extracted from modules themselves.\n", t.aliases)
	if err == nil && len(t.symbols) > 0 {
		err = t.aliasFiles(out, "modules.symbols", "# Aliases for symbols, used by symbol_request().\n", t.symbols)
	}
	return out, err
}

func (m *Module) line() string {
	if len(m.Deps) == 0 {
		return m.Path + ":"
	}
	return m.Path + ": " + strings.Join(m.Deps, " ")
}

func (t *Tree) depText() []byte {
	var b bytes.Buffer
	for _, m := range t.modules {
		fmt.Fprintln(&b, m.line())
	}
	return b.Bytes()
}

func (t *Tree) depIndex() *Index {
	var x Index
	for i, m := range t.modules {
		x.Insert(m.Name, m.line(), uint32(i))
	}
	return &x
}

// aliasFiles writes aliases in both forms. What an index cannot hold stands in
// the text only, as depmod has it.
func (t *Tree) aliasFiles(out map[string][]byte, name, head string, list []Alias) error {
	var x Index
	text := bytes.NewBufferString(head)
	for _, a := range list {
		fmt.Fprintf(text, "alias %s %s\n", a.Pattern, a.Module)
		if key := NormalAlias(a.Pattern); checkKey(key) == nil {
			x.Insert(key, a.Module, uint32(rankOf(t.rank, a.Module)))
		}
	}
	bin, err := x.Encode()
	out[name], out[name+".bin"] = text.Bytes(), bin
	return err
}

func (t *Tree) softdepText() []byte {
	b := bytes.NewBufferString("# Soft dependencies extracted from modules themselves.\n")
	for _, s := range t.Softdeps {
		if s.line != "" {
			fmt.Fprintln(b, s.line)
			continue
		}
		fmt.Fprintf(b, "softdep %s", s.Module)
		if len(s.Pre) > 0 {
			fmt.Fprintf(b, " pre: %s", strings.Join(s.Pre, " "))
		}
		if len(s.Post) > 0 {
			fmt.Fprintf(b, " post: %s", strings.Join(s.Post, " "))
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}
