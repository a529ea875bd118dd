// Package vmdef describes a virtual machine, in one form that every hypervisor's
// own description can be read into and written from. It works on bytes: it opens
// no file, and what a description names is the caller's to allow and to open.
//
// # What
//
// [VM] is the neutral form. A reader returns it with warnings: what the source
// says and the neutral form cannot hold, by name. [Detect] tells the kinds apart.
//
//   - OVF: DMTF DSP0243, Open Virtualization Format Specification, versions 1.x
//     and 2.x, and 0.9 of VMware, in the dialects of VMware, VirtualBox, oVirt,
//     XenServer; the names of models follow CIM_ResourceAllocationSettingData
//   - VMX: the configuration file of VMware Workstation and ESXi
//   - libvirt: <https://libvirt.org/formatdomain.html>
//   - xl: xl.cfg(5), xl-disk-configuration(5), xl-network-configuration(5) of Xen
//
// # Layout
//
//	Envelope ── References ── File id ◄── fileRef ── Disk ── DiskSection
//	    │                      id ◄─┐                 ▲ diskId
//	    │                           │ ovf:/file/ID    │ ovf:/disk/ID
//	    └── VirtualSystem ── VirtualHardwareSection ── Item 17 ── Parent ──► Item 5, 6, 20
//
//	VMX       key = "value" a line, |XX is a byte in hexadecimal
//	xl        name = 'string' | 17 | [ list ], a line or over lines inside brackets
//	manifest  SHA256(file)= hex a line
//
// # Support
//
//	                 read                                     written
//	OVF 0.9, 1.x     yes                                      1.0
//	OVF 2.x          yes: StorageItem, EthernetPortItem       no
//	several systems  all of them                              no
//	chunks, gzip     described                                no
//	delta disks      refused                                  no
//	configurations   the default one                          no
//	manifest         SHA-1, SHA-256, SHA-512                  the same
//	certificate      no                                       no
//	VMX              yes; encrypted refused                   no
//	libvirt          domains; network storage only named      yes
//	xl, xm           literals; Python refused                 no
//	Hyper-V, vbox    recognised                               no
//
// # Limits
//
// A description has at most ondisk.Limits.Text bytes, 131072 elements and
// attributes, lines or values, and nests to Limits.Chain. XML with a document type is
// refused, so there are no entities.
//
// # Quirks
//
// A disk of libvirt or of Xen without a format is raw, as those programs hold it:
// a raw disk's guest may forge a header. The format URI of OVF is wrong often, and
// not used. oVirt keeps its displays under the resource type of storage
// controllers, counts sizes in GiB and names types by "Section xsi:type". VMware
// counts IDE controllers backwards. VirtualBox knows a SATA controller only as
// AHCI, VMware by that name as well. An href of OVF is a URI, so a blank may be
// "%20"; most programs write it plain.
package vmdef
