package doctor

import (
	"golang.org/x/sys/unix"
)

// Space tells of the file system of a folder: its kind, "" if that is not known, bytes that
// are free for this user, and whether locks and syncs of it are not to be trusted.
func Space(folder string) (kind string, free uint64, doubtful bool, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return "", 0, false, err
	}
	free = s.Bavail * uint64(s.Bsize)
	for _, k := range []struct {
		magic    int64
		name     string
		doubtful bool
	}{
		{unix.EXT4_SUPER_MAGIC, "ext", false}, {unix.XFS_SUPER_MAGIC, "xfs", false}, {unix.BTRFS_SUPER_MAGIC, "btrfs", false},
		{0x2FC12FC1, "zfs", false}, {unix.OVERLAYFS_SUPER_MAGIC, "overlay", false},
		{unix.TMPFS_MAGIC, "tmpfs, which is memory", true}, {unix.RAMFS_MAGIC, "ramfs, which is memory", true},
		{unix.NFS_SUPER_MAGIC, "nfs, which is a network's", true}, {0xFF534D42, "cifs, which is a network's", true}, {0xFE534D42, "smb, which is a network's", true},
	} {
		if int64(uint32(s.Type)) == k.magic {
			return k.name, free, k.doubtful, nil
		}
	}
	return "", free, false, nil
}

// ClockSynchronised tells whether the kernel's clock is kept by a time server; known is
// false where that can't be told.
func ClockSynchronised() (synchronised, known bool) {
	state, err := unix.Adjtimex(new(unix.Timex))
	if err != nil {
		return false, false
	}
	return state != unix.TIME_ERROR, true
}
