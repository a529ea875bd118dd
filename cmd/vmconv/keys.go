package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
)

// keyFlags say what opens encrypted volumes. No key goes into an error or a log.
type keyFlags struct {
	specs     []string // --key
	fromStdin bool     // --keys-from-stdin
}

func (f *keyFlags) register(set *pflag.FlagSet) {
	set.StringArrayVar(&f.specs, "key", nil, "open an encrypted volume: `ID:key:PASSPHRASE` or ID:file:PATH, where ID is sda2, a UUID or all")
	set.BoolVar(&f.fromStdin, "keys-from-stdin", false, "read passphrases from stdin, one a line")
}

const (
	maxKeyFile = 8 << 20 // what cryptsetup takes
	maxPrompts = 3
)

// keys gives each encrypted volume the keys that the user has for it.
type keys struct {
	app   *app
	ctx   context.Context
	given []givenKey
	stdin bool
	lines [][]byte        // of stdin; read when first needed
	typed [][]byte        // on the terminal
	asked map[string]bool // for volumes that the terminal had no key for
}

// givenKey is one --key.
type givenKey struct {
	selector, kind, value string
}

// keyring is what opens the encrypted volumes of all machines of this run.
func (a *app) keyring(ctx context.Context, f *keyFlags) (*volume.Keyring, error) {
	if a.ring != nil {
		return a.ring, nil
	}
	k := &keys{app: a, ctx: ctx, stdin: f.fromStdin, asked: map[string]bool{}}
	for _, spec := range f.specs {
		g, err := parseKey(spec)
		if err != nil {
			return nil, err
		}
		k.given = append(k.given, g)
	}
	a.ring = volume.NewKeyring(k.of)
	return a.ring, nil
}

// parseKey takes one --key apart, as the virt-tools do. A passphrase may hold colons.
func parseKey(spec string) (givenKey, error) {
	part := strings.SplitN(spec, ":", 3)
	switch {
	case len(part) == 2 && part[1] == "clevis":
		return givenKey{}, usagef("--key %s:clevis asks servers on the network, which vmconv does not do; give a passphrase", part[0])
	case len(part) < 3 || part[0] == "" || part[2] == "" || part[1] != "key" && part[1] != "file":
		return givenKey{}, usagef("--key takes ID:key:PASSPHRASE or ID:file:PATH, where ID is sda2, a UUID or all")
	}
	return givenKey{selector: part[0], kind: part[1], value: part[2]}, nil
}

// of yields what may open a volume: what was given, then what stdin says, and at
// last what a person types.
func (k *keys) of(l volume.Locked) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, source := range []func(volume.Locked) iter.Seq2[[]byte, error]{k.ofFlags, k.ofStdin, k.ofTerminal} {
			for key, err := range source(l) {
				if !yield(key, err) || err != nil {
					return
				}
			}
		}
	}
}

func (k *keys) ofFlags(l volume.Locked) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, g := range k.given {
			if !l.Is(g.selector) {
				continue
			}
			list := [][]byte{[]byte(g.value)}
			if g.kind == "file" {
				content, err := readKeyFile(g.value)
				if err != nil {
					yield(nil, err)
					return
				}
				list = keysIn(content)
			}
			for _, key := range list {
				if !yield(key, nil) {
					return
				}
			}
		}
	}
}

func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("--key: %w", err)
	case len(content) == 0:
		return nil, usagef("--key: %s is empty", path)
	case len(content) > maxKeyFile:
		return nil, usagef("--key: %s is larger than any key (%d bytes)", path, maxKeyFile)
	}
	return content, nil
}

// keysIn are the keys that a file may mean: the virt-tools take its first line, and
// cryptsetup all of it. What looks like a line of text is tried as one first.
func keysIn(content []byte) [][]byte {
	line, rest, more := bytes.Cut(content, []byte{'\n'})
	line = bytes.TrimSuffix(line, []byte{'\r'})
	switch {
	case !more || len(line) == 0:
		return [][]byte{content}
	case len(rest) == 0:
		return [][]byte{line, content}
	}
	return [][]byte{content, line}
}

func (k *keys) ofStdin(volume.Locked) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if k.stdin && k.lines == nil {
			if k.app.asks() {
				yield(nil, usagef("--keys-from-stdin: stdin is a terminal; leave the flag out to be asked"))
				return
			}
			lines := bufio.NewScanner(io.LimitReader(k.app.stdin, maxKeyFile))
			for k.lines = [][]byte{}; lines.Scan(); {
				k.lines = append(k.lines, bytes.Clone(lines.Bytes()))
			}
			if err := lines.Err(); err != nil {
				yield(nil, fmt.Errorf("--keys-from-stdin: %w", err))
				return
			}
		}
		for _, key := range k.lines {
			if !yield(key, nil) {
				return
			}
		}
	}
}

// asks reports whether stdin is a terminal.
func (a *app) asks() bool {
	f, ok := a.stdin.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// ofTerminal asks, where there is somebody to ask. An empty answer ends it.
func (k *keys) ofTerminal(l volume.Locked) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, key := range k.typed {
			if !yield(key, nil) {
				return
			}
		}
		if k.stdin || !k.app.asks() || k.asked[l.String()] {
			return
		}
		for range maxPrompts {
			key, err := k.prompt(l)
			if err != nil {
				yield(nil, err)
				return
			}
			if len(key) == 0 {
				break
			}
			k.typed = append(k.typed, key)
			if !yield(key, nil) {
				return
			}
		}
		k.asked[l.String()] = true // a conversion opens the disks several times
	}
}

// prompt reads a passphrase without echo. A signal ends it, and gives the terminal
// its echo back.
func (k *keys) prompt(l volume.Locked) ([]byte, error) {
	fd := int(k.app.stdin.(*os.File).Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	k.app.ui.progressDone()
	fmt.Fprintf(k.app.stderr, "vmconv: passphrase of %s: ", printable(l.String()))
	type answer struct {
		key []byte
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		key, err := term.ReadPassword(fd)
		answered <- answer{key, err}
	}()
	select {
	case got := <-answered:
		fmt.Fprintln(k.app.stderr)
		return got.key, got.err
	case <-k.ctx.Done():
		term.Restore(fd, before)
		fmt.Fprintln(k.app.stderr)
		return nil, context.Cause(k.ctx)
	}
}
