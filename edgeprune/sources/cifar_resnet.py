"""CIFAR-style residual networks for small images (He et al. 2016, section 4.2).

Three stages of widths 16, 32 and 64. The shortcut of a stage's first block is a 1x1 convolution ("option B"), so that
every channel of the stage's trunk has an owner that can be pruned.
"""

from collections import OrderedDict

from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (N, c_in, H, W) -> (N, c_out, H / stride, W / stride)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or c_in != c_out:
            self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        out: Tensor = self.relu(x + shortcut)
        return out


class CifarResNet(nn.Module):
    """ResNet of depth 6n + 2 for small images: (N, channels, H, W) -> (N, num_classes) logits."""

    def __init__(self, depth: int, num_classes: int = 10, channels: int = 1) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"depth {depth} is not 6n + 2: use 8, 14, 20, 32, 44, 56 or 110")
        blocks_per_stage = (depth - 2) // 6
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        c_in = 16
        for stage, c_out in enumerate((16, 32, 64), start=1):
            blocks = []
            for index in range(blocks_per_stage):
                blocks.append(BasicBlock(c_in, c_out, stride=2 if stage > 1 and index == 0 else 1))
                c_in = c_out
            stages[f"layer{stage}"] = nn.Sequential(*blocks)
        self.stages = nn.Sequential(stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(c_in, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.stages(x)
        logits: Tensor = self.fc(self.pool(x).flatten(1))
        return logits
