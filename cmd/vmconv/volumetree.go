package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// renderVolumes prints machines as trees, as lsblk does.
func (a *app) renderVolumes(machines []machineVolumes, free bool) error {
	for n, m := range machines {
		for _, text := range m.Warnings {
			a.ui.warn(m.Source, "volumes", text)
		}
		if len(machines) > 1 {
			if n > 0 {
				fmt.Fprintln(a.stdout)
			}
			fmt.Fprintf(a.stdout, "%s:\n", m.Source)
		}
		var text strings.Builder
		w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "NAME\tKIND\tSIZE\tTYPE\tUSE%\tMOUNTED ON\tLABEL\tUUID")
		t := volumeTree{out: w, all: m.Volumes, free: free}
		for _, v := range m.Volumes {
			if v.Parent == "" {
				t.print(v, "", "")
			}
		}
		w.Flush()
		for line := range strings.Lines(text.String()) {
			if _, err := fmt.Fprintln(a.stdout, strings.TrimRight(line, " \n")); err != nil {
				return err
			}
		}
	}
	return nil
}

// volumeTree prints the volumes of one machine.
type volumeTree struct {
	out  io.Writer
	all  []volumeInfo
	free bool
}

// print shows a volume behind lead, and what lies in it behind rest.
func (t *volumeTree) print(v volumeInfo, lead, rest string) {
	t.row(lead, v)
	type child struct {
		volume volumeInfo
		free   span
	}
	var list []child
	for _, o := range t.all {
		if o.Parent == v.ID || slices.Contains(o.Members, v.ID) {
			list = append(list, child{volume: o})
		}
	}
	if t.free {
		for _, s := range v.Free {
			list = append(list, child{free: s})
		}
	}
	if v.Table != "" { // in the order of the disk
		slices.SortStableFunc(list, func(a, b child) int {
			return int(min(1, max(-1, a.volume.Offset+a.free.Offset-b.volume.Offset-b.free.Offset)))
		})
	}
	for i, c := range list {
		branch, below := "├─", "│ "
		if i == len(list)-1 {
			branch, below = "└─", "  "
		}
		if c.volume.ID == "" {
			fmt.Fprintf(t.out, "%s%s(free)\t\t%s\t\t\t\t\t\n", rest, branch, humanSize(c.free.Size))
			continue
		}
		t.print(c.volume, rest+branch, rest+below)
	}
}

func (t *volumeTree) row(lead string, v volumeInfo) {
	kind, what, uuid, use := v.Kind, v.Type, v.UUID, ""
	if v.Table != "" {
		what, uuid = v.Table, v.TableID
	}
	if v.Kind == "md" {
		kind = v.Level
	}
	if v.Space != nil {
		use = percent(v.Space.Used, v.Space.Available)
	}
	fmt.Fprintf(t.out, "%s%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", lead, printable(v.ID), kind, humanSize(v.Size), what, use,
		printable(strings.Join(v.Mounts, " ")), printable(v.Label), uuid)
}
