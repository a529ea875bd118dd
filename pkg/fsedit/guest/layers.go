package guest

import "slices"

// Layer is a volume between the partitions of a disk and a filesystem: a logical
// volume, an array, an unlocked encryption.
type Layer struct {
	Kind   string   `json:"kind"`   // "lvm", "md", "luks"
	Volume string   `json:"volume"` // ID: "vg/root"
	Type   string   `json:"type,omitempty"`
	UUID   string   `json:"uuid,omitempty"` // of the logical volume, the array, the encryption
	Names  []string `json:"names,omitempty"`
	// Members are the volumes that it is made of.
	Members []string `json:"members,omitempty"`
}

// layers are what a volume is made of besides partitions, itself first.
func (in *inspection) layers(id string) []Layer {
	var out []Layer
	seen := map[string]bool{}
	for next := []string{id}; len(next) > 0; {
		s := in.source(next[0])
		next = next[1:]
		if s == nil || seen[s.Volume.ID] {
			continue
		}
		v := s.Volume
		seen[v.ID] = true
		members := v.Members
		if len(members) == 0 && v.Parent != "" {
			members = []string{v.Parent}
		}
		if !slices.Contains([]string{"disk", "mbr", "gpt"}, v.Kind) {
			out = append(out, Layer{Kind: v.Kind, Volume: v.ID, Type: v.Type, UUID: v.UUID, Names: v.Names, Members: members})
		}
		next = append(next, members...)
	}
	return out
}
