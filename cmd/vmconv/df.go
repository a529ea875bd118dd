package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// dfRow is one filesystem of df --json.
type dfRow struct {
	Source string   `json:"source"` // as the user named the machine
	Volume string   `json:"volume"` // "sda1", "vg/root"
	Type   string   `json:"type"`
	UUID   string   `json:"uuid,omitempty"`
	Label  string   `json:"label,omitempty"`
	Mounts []string `json:"mounts"` // by the guest's fstab; see jsonName
	room
}

type dfFlags struct {
	image                 imageFlags
	human, inodes, asJSON bool
}

func newDf(a *app) *cobra.Command {
	var f dfFlags
	cmd := &cobra.Command{
		Use:   "df SOURCE...",
		Short: "Show how full the filesystems of stopped guests are",
		Long: `Show how full the filesystems of stopped guests are, with the numbers that df
shows on a read-only mount. The guest's fstab says where they are mounted. What
cannot be opened is left out with a warning.`,
		Example: `  vmconv df web.qcow2
  vmconv df -h web.qcow2 db.vmdk
  vmconv df -i -a root.img -a data.img
  vmconv df --json *.qcow2 | jq '.filesystems[] | select(.available < 1e9)'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.ui.json = f.asJSON
			list, err := a.machines(&f.image, args)
			if err != nil {
				return err
			}
			return a.df(cmd.Context(), &f, list)
		},
	}
	f.image.registerMachines(cmd.Flags())
	set := cmd.Flags()
	set.BoolVarP(&f.human, "human-readable", "h", false, "sizes like 4.0K")
	set.BoolVarP(&f.inodes, "inodes", "i", false, "inodes instead of bytes")
	set.BoolVar(&f.asJSON, "json", false, "print JSON, with both")
	set.Bool("help", false, "help for df")
	return cmd
}

func (a *app) df(ctx context.Context, f *dfFlags, list [][]string) error {
	rows := []dfRow{}
	failed := a.survey(ctx, "df", &f.image, list, func(source string, m *guestSession) error {
		found, err := a.filesystemsOf(ctx, source, m)
		rows = append(rows, found...)
		return err
	})
	if failed != nil && len(rows) == 0 {
		return failed
	}
	var err error
	if f.asJSON {
		err = a.printJSON(struct {
			Schema      string  `json:"schema"`
			Filesystems []dfRow `json:"filesystems"`
		}{"vmconv.df/1", rows})
	} else {
		err = f.render(a.stdout, rows, len(list) > 1)
	}
	if err == nil {
		err = failed
	}
	return err
}

// filesystemsOf are the filesystems of a machine that can be opened. One that is
// damaged is an error after all others.
func (a *app) filesystemsOf(ctx context.Context, source string, m *guestSession) ([]dfRow, error) {
	var rows []dfRow
	var damaged, locked error
	for _, fs := range m.Facts.Filesystems {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		v, _ := m.Volume(fs.Volume)
		if fs.Type == "swap" || v.Claimed != "" && v.Locked == nil {
			continue // it holds no files, or they are listed with what lies in it
		}
		r, err := m.room(fs.Volume)
		switch {
		case err == nil:
			rows = append(rows, dfRow{source, fs.Volume, fs.Type, fs.UUID, jsonName(fs.Label), jsonNames(mountPoints(m.Facts, fs.Volume)), r})
		case exitCode(err) == exitUnsupported || exitCode(err) == exitKey:
			a.ui.warn(source, "df", err.Error())
			if exitCode(err) == exitKey {
				locked = err
			}
		case damaged == nil:
			damaged = fmt.Errorf("%s: %s: %w", source, fs.Volume, err)
		default:
			a.ui.warn(source, "df", fs.Volume+": "+err.Error())
		}
	}
	switch {
	case damaged != nil || len(rows) > 0:
	case locked != nil:
		damaged = fmt.Errorf("%s: %w", source, locked)
	default:
		damaged = fmt.Errorf("%s: %w", source, ondisk.Because(ondisk.ErrFormat, "there is no filesystem on it that can be opened"))
	}
	return rows, damaged
}

func jsonNames(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = jsonName(s)
	}
	return out
}

func (f *dfFlags) render(w io.Writer, rows []dfRow, named bool) error {
	heads := []string{"1K-blocks", "Used", "Available", "Use%"}
	switch {
	case f.inodes:
		heads = []string{"Inodes", "IUsed", "IFree", "IUse%"}
	case f.human:
		heads = []string{"Size", "Used", "Avail", "Use%"}
	}
	lines := [][]string{append(append([]string{"Filesystem"}, heads...), "Mounted on")}
	for _, r := range rows {
		mounted := "-"
		if len(r.Mounts) > 0 {
			mounted = strings.Join(r.Mounts, " ")
		}
		lines = append(lines, append(append([]string{printable(r.name(named))}, f.cells(r)...), printable(mounted)))
	}
	return printNumbers(w, lines)
}

// printNumbers prints columns as df(1) does: the first and the last to the left, those
// between them to the right.
func printNumbers(w io.Writer, lines [][]string) error {
	widths := make([]int, len(lines[0]))
	for _, cells := range lines {
		for i, c := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for _, cells := range lines {
		for i, c := range cells {
			switch i {
			case 0:
				fmt.Fprintf(&b, "%-*s", widths[i], c)
			case len(cells) - 1:
				b.WriteString(" " + c + "\n")
			default:
				fmt.Fprintf(&b, " %*s", widths[i], c)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r dfRow) name(named bool) string {
	if named {
		return r.Source + ":" + r.Volume
	}
	return r.Volume
}

func (f *dfFlags) cells(r dfRow) []string {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	if f.inodes {
		if f.human {
			number = humanSize
		}
		return []string{number(r.Inodes), number(r.InodesUsed), number(r.InodesFree), percent(r.InodesUsed, r.InodesFree)}
	}
	size := func(n int64) string { return number(ondisk.DivUp(n, 1024)) }
	if f.human {
		size = humanSize
	}
	return []string{size(r.Size), size(r.Used), size(r.Available), percent(r.Used, r.Available)}
}
