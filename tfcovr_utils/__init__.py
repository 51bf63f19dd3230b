from .allocator import keep_freed

keep_freed()
