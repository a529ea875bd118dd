package grubcfg

import (
	"bytes"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/cmdline"
)

// Edit replaces the bytes from Start to End.
type Edit struct {
	Start, End int
	Raw        string
}

// Replace returns the script with edits, which must not overlap, done.
func (c *Config) Replace(edits ...Edit) []byte {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b Edit) int { return a.Start - b.Start })
	var out bytes.Buffer
	at := 0
	for _, e := range edits {
		if e.Start < at || e.End < e.Start || e.End > len(c.src) {
			continue
		}
		out.Write(c.src[at:e.Start])
		out.WriteString(e.Raw)
		at = e.End
	}
	out.Write(c.src[at:])
	return out.Bytes()
}

// RewriteArgs returns the script with the arguments of every kernel rewritten:
// f gets the words behind the kernel's path, and the entry, nil outside of the
// menu. Words that it returns as they were keep their place and spacing.
func (c *Config) RewriteArgs(f func(e *Entry, args []Word) []Word) []byte {
	var edits []Edit
	for cmd := range c.Commands(linuxCommands...) {
		if len(cmd.Words) < 2 {
			continue
		}
		kernel, old := cmd.Words[1], cmd.Words[2:]
		raw := c.merge(kernel.End, old, f(cmd.Entry, slices.Clone(old)))
		end := kernel.End
		if len(old) > 0 {
			end = old[len(old)-1].End
		}
		edits = append(edits, Edit{kernel.End, end, raw})
	}
	return c.Replace(edits...)
}

// merge writes words behind a place: those that were there with the blanks
// before them, new ones with those of the words that they replace, or a space.
func (c *Config) merge(from int, old, words []Word) string {
	keep := common(old, words)
	var out strings.Builder
	var gaps []string // of words dropped since the last that was kept
	i, k := 0, 0
	add := func(n int) {
		for ; k < n; k++ {
			gap := " "
			if len(gaps) > 0 {
				gap, gaps = gaps[0], gaps[1:]
			}
			out.WriteString(gap + words[k].Raw)
		}
	}
	for _, pair := range append(keep, [2]int{len(old), len(words)}) {
		for ; i < pair[0]; i++ {
			gaps = append(gaps, c.gap(from, old, i))
		}
		add(pair[1])
		gaps = nil
		if i < len(old) {
			out.WriteString(c.gap(from, old, i) + old[i].Raw)
			i, k = i+1, k+1
		}
	}
	return out.String()
}

// gap is what stands before an old word.
func (c *Config) gap(from int, old []Word, i int) string {
	if i > 0 {
		from = old[i-1].End
	}
	return string(c.src[from:old[i].Start])
}

// maxPairs bounds the table of a comparison; a line of Linux has 2048 bytes.
const maxPairs = 1 << 20

// common pairs the indices of words that stay, by Raw: those that both begin
// and end with, and between them a longest common subsequence.
func common(a, b []Word) [][2]int {
	var pairs [][2]int
	head := 0
	for head < len(a) && head < len(b) && a[head].Raw == b[head].Raw {
		pairs = append(pairs, [2]int{head, head})
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail].Raw == b[len(b)-1-tail].Raw {
		tail++
	}
	for _, p := range subsequence(a[head:len(a)-tail], b[head:len(b)-tail]) {
		pairs = append(pairs, [2]int{p[0] + head, p[1] + head})
	}
	for ; tail > 0; tail-- {
		pairs = append(pairs, [2]int{len(a) - tail, len(b) - tail})
	}
	return pairs
}

func subsequence(a, b []Word) (pairs [][2]int) {
	if len(a) == 0 || len(b) == 0 || len(a) > maxPairs/len(b) {
		return nil
	}
	n := make([][]int, len(a)+1)
	for i := range n {
		n[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for k := len(b) - 1; k >= 0; k-- {
			if a[i].Raw == b[k].Raw {
				n[i][k] = n[i+1][k+1] + 1
			} else {
				n[i][k] = max(n[i+1][k], n[i][k+1])
			}
		}
	}
	for i, k := 0, 0; i < len(a) && k < len(b); {
		switch {
		case a[i].Raw == b[k].Raw:
			pairs = append(pairs, [2]int{i, k})
			i, k = i+1, k+1
		case n[i+1][k] >= n[i][k+1]:
			i++
		default:
			k++
		}
	}
	return pairs
}

// RewriteKernel is RewriteArgs for those who think in kernel command lines: f
// edits the line that Linux would get, in which references stand as ${x}.
func (c *Config) RewriteKernel(f func(e *Entry, line *cmdline.Line)) []byte {
	return c.RewriteArgs(func(e *Entry, args []Word) []Word {
		before := KernelLine(args)
		line := cmdline.Parse(before)
		f(e, line)
		if line.String() == before {
			return args
		}
		return wordsOf(line, args)
	})
}

// KernelLine is the command line that GRUB makes of arguments. A word with
// blanks is put into double quotes as a whole.
func KernelLine(args []Word) string {
	all := make([]string, len(args))
	for i, w := range args {
		all[i] = kernelWord(w)
	}
	return strings.Join(all, " ")
}

func kernelWord(w Word) string {
	if strings.ContainsAny(w.Text, " \t\r\n\v\f") && !strings.Contains(w.Text, `"`) {
		return `"` + w.Text + `"`
	}
	return w.Text
}

// wordsOf turns a line back: words that were there stay themselves, and so do
// several that are one to the kernel, for the quotes in them.
func wordsOf(line *cmdline.Line, args []Word) []Word {
	old := map[string][][]Word{}
	for i, w := range args {
		text := kernelWord(w)
		n := i + 1
		for strings.Count(text, `"`)%2 == 1 && n < len(args) {
			text += " " + kernelWord(args[n])
			n++
		}
		old[text] = append(old[text], args[i:n])
	}
	var out []Word
	for _, raw := range line.Raw() {
		if list := old[raw]; len(list) > 0 {
			out = append(out, list[0]...)
			old[raw] = list[1:]
			continue
		}
		out = append(out, NewWord(strings.ReplaceAll(raw, `"`, "")))
	}
	return out
}
