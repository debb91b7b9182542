// What a C++ compiler must be told to compile a CUDA source without headers: threads are loops.
#define __global__
#define __device__

struct Index {
    int x, y, z;
};
static thread_local Index gridDim, blockDim, blockIdx, threadIdx;

template <typename Kernel, typename Argument>
void for_every_thread(const int* grid, const int* block, Kernel kernel, const Argument& argument) {
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    for (blockIdx.z = 0; blockIdx.z < grid[2]; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < grid[1]; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < grid[0]; ++blockIdx.x)
                for (threadIdx.z = 0; threadIdx.z < block[2]; ++threadIdx.z)
                    for (threadIdx.y = 0; threadIdx.y < block[1]; ++threadIdx.y)
                        for (threadIdx.x = 0; threadIdx.x < block[0]; ++threadIdx.x) kernel(argument);
}
